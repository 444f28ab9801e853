/* Fuzz target: the readers of zone files (NDJSON, CSV, gzip, zstd). Whatever the bytes, nothing
 * crashes and memory stays bounded; NDJSON read in ranges gives as many rows as read at once. The
 * first byte chooses format and policy. */
#include "connectors/file_scan.h"
#include "connectors/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tn_str object;

static void run_request(struct tn_object_store *store, struct tn_object_request *request)
{
    (void)store;
    size_t from = (size_t)request->offset < object.len ? (size_t)request->offset : object.len;
    size_t len = object.len - from;
    if (request->length >= 0 && (size_t)request->length < len)
        len = (size_t)request->length;
    tn_buf_add(request->ret_body, object.ptr + from, len);
    request->status = TN_OK;
}

static const struct tn_object_store_type memory_type = {.name = "fuzz", .run = run_request};
static struct tn_object_store memory = {.type = &memory_type, .url = "fuzz://"};

/* Rows of a range; −1 = the file is refused. */
static int64_t read_range(const struct tn_file_layout *layout, int64_t from, int64_t to)
{
    static const bool needed[5] = {true, true, true, true, true};
    struct tn_file_scan_spec spec = {.store = &memory,
                                     .key = "x",
                                     .bytes = (int64_t)object.len,
                                     .layout = layout,
                                     .needed = needed,
                                     .from = from,
                                     .to = to,
                                     .expanded_max = 1 << 20};
    struct tn_file_scan *scan = NULL;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    int64_t rows = 0;
    tn_arena_init(&arena, 0);
    enum tn_status st = tn_file_scan_open(&spec, &scan, &err);
    while (st == TN_OK) {
        struct tn_column *columns;
        uint32_t count;
        tn_arena_reset(&arena);
        st = tn_file_scan_next(scan, &arena, &columns, &count, &err);
        for (uint32_t c = 0; st == TN_OK && c < 5; c++)
            for (uint32_t r = 0; r < count; r++)
                (void)tn_column_value(&columns[c], r, &arena);
        rows += st == TN_OK ? count : 0;
    }
    tn_file_scan_close(scan);
    tn_arena_release(&arena);
    return st == TN_END ? rows : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tn_field fields[5] = {{TN_STR("id"), tn_type_of(TN_K_INTEGER)},
                                 {TN_STR("s"), tn_type_of(TN_K_VARCHAR)},
                                 {TN_STR("x"), tn_type_of(TN_K_DOUBLE)},
                                 {TN_STR("t"), tn_type_of(TN_K_TIMESTAMP)},
                                 {TN_STR("b"), tn_type_of(TN_K_BOOLEAN)}};
    struct tn_schema schema = {5, fields};
    if (size < 1)
        return 0;
    struct tn_file_layout layout = {.format = data[0] & 1 ? TN_FILE_CSV : TN_FILE_JSON,
                                    .schema = &schema,
                                    .on_bad = (enum tn_file_bad)(data[0] >> 1 & 1),
                                    .separator = ',',
                                    .quote = '"',
                                    .escape = data[0] & 4 ? '\\' : '"',
                                    .header_lines = data[0] >> 3 & 1};
    object = (struct tn_str){(const char *)data + 1, size - 1};
    int64_t all = read_range(&layout, 0, (int64_t)object.len);
    bool is_packed = object.len >= 2 &&
                     ((data[1] == 0x1f && data[2] == 0x8b) || (data[1] == 0x28 && data[2] == 0xb5));
    if (layout.format == TN_FILE_JSON && !is_packed && all >= 0) {
        int64_t middle = (int64_t)object.len / 2;
        if (middle <= 3) /* inside a byte order mark no range begins */
            return 0;
        int64_t parts = read_range(&layout, 0, middle);
        parts += read_range(&layout, middle, (int64_t)object.len);
        TN_ASSERT(parts == all);
    }
    return 0;
}
