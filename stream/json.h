/* A reader of single JSON values for the JSON functions: slices of the text, no tree. The whole
 * value is checked (grammar, depth) while it is skipped. Private to stream/.
 *
 * Ownership: slices borrow the text; unescaped strings live in the arena given. @thread any
 */
#ifndef TN_STREAM_JSON_H
#define TN_STREAM_JSON_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"

#define TNI_JSON_DEPTH_MAX 512

enum tni_json_kind {
    TNI_JSON_NULL,
    TNI_JSON_FALSE,
    TNI_JSON_TRUE,
    TNI_JSON_NUMBER,
    TNI_JSON_STRING,
    TNI_JSON_ARRAY,
    TNI_JSON_OBJECT
};

struct tni_json {
    enum tni_json_kind kind;
    struct tn_str raw; /* as written, without outer blanks; strings with their quotes */
};

/* Read one value at *io_ptr, blanks before it skipped; *io_ptr is then behind it. False when there
 * is none. */
bool tni_json_read(const char **io_ptr, const char *end, struct tni_json *ret_value);
/* The whole text is one value. */
bool tni_json_whole(struct tn_str text, struct tni_json *ret_value);
/* Text of a STRING value, unescaped. */
struct tn_str tni_json_text(const struct tni_json *value, struct tn_arena *arena);

/* Members of an object or elements of an array that tni_json_read accepted. */
struct tni_json_iter {
    const char *ptr, *end;
    bool is_object;
};
void tni_json_open(const struct tni_json *value, struct tni_json_iter *iter);
/* Key (a STRING value) is set for objects only. False at the end. */
bool tni_json_next(struct tni_json_iter *iter, struct tni_json *ret_key,
                   struct tni_json *ret_value);

/* A path: $ followed by .name, ["name"], ['name'] and [index]. */
#define TNI_JSON_STEPS_MAX 64
struct tni_json_path {
    uint32_t count;
    struct tni_json_step {
        struct tn_str name; /* ptr NULL: index */
        int64_t index;
    } steps[TNI_JSON_STEPS_MAX];
};
bool tni_json_path_parse(struct tn_str text, struct tni_json_path *ret_path);
/* The value at the path; false when it is missing. */
bool tni_json_find(const struct tni_json *root, const struct tni_json_path *path,
                   struct tn_arena *arena, struct tni_json *ret_value);
/* Append the value without blanks between tokens. */
void tni_json_compact(const struct tni_json *value, struct tn_buf *buf);

#endif
