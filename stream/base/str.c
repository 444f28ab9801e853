/* Nearest-name search for error hints. */
#include "stream/base/str.h"

#include <ctype.h>

#define NEAREST_LEN_MAX 64

static size_t edit_distance(struct tn_str a, const char *b, size_t b_len)
{
    size_t row[NEAREST_LEN_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diag = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t up = row[j];
            bool same = tolower((unsigned char)a.ptr[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = diag + (same ? 0 : 1);
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diag = up;
        }
    }
    return row[b_len];
}

const char *tn_str_nearest(struct tn_str name, const char *const *candidates,
                           size_t candidates_count)
{
    const char *best = NULL;
    size_t best_distance = name.len / 3 + 2;
    if (name.len == 0 || name.len > NEAREST_LEN_MAX)
        return NULL;
    for (size_t i = 0; i < candidates_count; i++) {
        size_t len = strlen(candidates[i]);
        if (len > NEAREST_LEN_MAX)
            continue;
        size_t distance = edit_distance(name, candidates[i], len);
        if (distance < best_distance && distance < len) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}
