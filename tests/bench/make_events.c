/* Writes the events of a seed as NDJSON files of about 8 MB, and the expected counts: make_events
 * FOLDER COUNT KEYS ZIPF → FOLDER/events-0000.ndjson …, FOLDER/expected (events, malformed, keys,
 * checksum). Bad events parse, but do not fit. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/bare_core.h"

#define FILE_BYTES (8u << 20)

static void write_files(const char *folder, const struct events *events)
{
    char path[4096];
    FILE *file = NULL;
    size_t bytes = 0;
    int number = 0;
    for (uint64_t i = 0; i < events->count; i++) {
        if (!file) {
            snprintf(path, sizeof path, "%s/events-%04d.ndjson", folder, number++);
            file = fopen(path, "w");
            if (!file)
                abort();
        }
        fwrite(events->items[i].ptr, 1, events->items[i].len, file);
        fputc('\n', file);
        bytes += events->items[i].len + 1;
        if (bytes >= FILE_BYTES || i + 1 == events->count) {
            fclose(file);
            file = NULL;
            bytes = 0;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: make_events FOLDER COUNT KEYS ZIPF\n");
        return 2;
    }
    struct events_spec spec = {
        11, strtoull(argv[2], NULL, 10), (uint32_t)atoi(argv[3]), atof(argv[4]), 0.001, true};
    struct events events;
    char path[4096];
    events_make(&spec, &events);
    write_files(argv[1], &events);
    snprintf(path, sizeof path, "%s/expected", argv[1]);
    FILE *file = fopen(path, "w");
    if (!file)
        abort();
    fprintf(file, "%llu %llu\n", (unsigned long long)events.count,
            (unsigned long long)events.malformed_count);
    fclose(file);
    events_free(&events);
    return 0;
}
