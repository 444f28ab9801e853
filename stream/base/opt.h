/* Options: one static const table per component is parser, validator, --help, reference text and
 * system.options.
 *
 * struct fields are plain: bool, int64_t, double, const char * (string and choice), struct
 * tn_opt_pair * (prefix). Parsing fills a struct whose defaults came from tn_opt_defaults. Unknown
 * key: error with the nearest name. Secrets print as ***.
 * @thread any for tables; a filled struct belongs to its owner. Strings are allocated in the given
 * arena.
 */
#ifndef TN_STREAM_BASE_OPT_H
#define TN_STREAM_BASE_OPT_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"

enum tn_opt_type {
    TN_OPT_BOOL,  /* true, false */
    TN_OPT_INT,   /* int64_t; min … max */
    TN_OPT_BYTES, /* int64_t; accepts k, m, g suffixes (KiB…) */
    TN_OPT_MS,    /* int64_t; accepts ms, s, m, h, d suffixes */
    TN_OPT_DOUBLE,
    TN_OPT_STRING,
    TN_OPT_CHOICE /* const char *, one of choices (comma-separated), case-blind, stored as in the
                     table */
};

enum tn_opt_flags {
    TN_OPT_REQUIRED = 1u << 0,
    TN_OPT_SECRET = 1u << 1,
    TN_OPT_DYNAMIC = 1u << 2, /* may change while running */
    TN_OPT_PREFIX = 1u << 3 /* name ends with '.': takes every key that starts with it (kafka.*) */
};

struct tn_opt {
    const char *name;
    enum tn_opt_type type;
    size_t offset;     /* offsetof the field */
    const char *deflt; /* as text; NULL = zero */
    int64_t min, max;  /* INT, BYTES, MS; both 0 = unchecked */
    const char *choices;
    unsigned flags;
    const char *unsupported; /* not NULL: compiled out, why */
    const char *help;        /* one line */
};

/* Field of a TN_OPT_PREFIX row: `struct tn_opt_pair *`, the pairs in the order given; a repeated
 * name replaces. */
struct tn_opt_pair {
    const char *name; /* without the prefix */
    const char *value;
    struct tn_opt_pair *next;
};

struct tn_opts {
    const char *component; /* "server", "stream WITH", … for messages */
    const struct tn_opt *items;
    size_t count;
};

void tn_opt_defaults(const struct tn_opts *opts, void *target, struct tn_arena *arena);
enum tn_status tn_opt_set(const struct tn_opts *opts, void *target, struct tn_str name,
                          struct tn_str value, struct tn_arena *arena, struct tn_err *err);
/* Are all TN_OPT_REQUIRED rows set? `is_set` by table index. Names the first one missing. */
enum tn_status tn_opt_check_required(const struct tn_opts *opts, const bool *is_set,
                                     struct tn_err *err);
/* The row that takes this name (case-blind; longest prefix row otherwise); NULL when there is none.
 */
const struct tn_opt *tn_opt_find(const struct tn_opts *opts, struct tn_str name);
/* Current value as text (secrets as ***). */
void tn_opt_print_value(const struct tn_opt *opt, const void *target, struct tn_buf *buf);
/* "  --name VALUE   help (default …)" lines; and a Markdown table for OPTIONS.md. */
void tn_opt_print_help(const struct tn_opts *opts, struct tn_buf *buf);
void tn_opt_print_markdown(const struct tn_opts *opts, struct tn_buf *buf);

#endif
