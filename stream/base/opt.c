/* Option tables: one row is parser, validator and documentation of one field (opt.h).
 *
 * Numbers are parsed by hand: strtoll accepts leading blanks, hex and overflows silently, and an
 * option's text must mean the same in every place it can be written. @thread any
 */
#include "stream/base/opt.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 512

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit bytes_units[] = {
    {"", 1},         {"b", 1},         {"k", 1 << 10},     {"kib", 1 << 10}, {"kb", 1 << 10},
    {"m", 1 << 20},  {"mib", 1 << 20}, {"mb", 1 << 20},    {"g", 1 << 30},   {"gib", 1 << 30},
    {"gb", 1 << 30}, {"t", 1ll << 40}, {"tib", 1ll << 40}, {NULL, 0}};
static const struct unit ms_units[] = {{"", 1},         {"ms", 1},        {"s", 1000},
                                       {"m", 60000},    {"min", 60000},   {"h", 3600000},
                                       {"d", 86400000}, {"w", 604800000}, {NULL, 0}};
static const struct unit int_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum tn_opt_type type)
{
    return type == TN_OPT_BYTES ? bytes_units : type == TN_OPT_MS ? ms_units : int_units;
}

/* Digits with an optional sign, then a unit. False when the text is neither or does not fit. */
static bool parse_int(struct tn_str text, const struct unit *units, int64_t *ret_value)
{
    size_t i = 0;
    bool is_negative = text.len && text.ptr[0] == '-';
    if (is_negative)
        i++;
    size_t digits_at = i;
    int64_t value = 0;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text.ptr[i] - '0', &value))
            return false;
    if (i == digits_at)
        return false;
    while (i < text.len && text.ptr[i] == ' ')
        i++;
    struct tn_str suffix = {text.ptr + i, text.len - i};
    for (const struct unit *u = units; u->suffix; u++) {
        if (!tn_str_eq_nocase(suffix, tn_str_of(u->suffix)))
            continue;
        if (__builtin_mul_overflow(value, u->factor, &value))
            return false;
        if (!is_negative && __builtin_sub_overflow((int64_t)0, value, &value))
            return false;
        *ret_value = value;
        return true;
    }
    return false;
}

static bool parse_bool(struct tn_str text, bool *ret_value)
{
    if (tn_str_eq_nocase(text, TN_STR("true")) || tn_str_eq_nocase(text, TN_STR("on"))) {
        *ret_value = true;
        return true;
    }
    if (tn_str_eq_nocase(text, TN_STR("false")) || tn_str_eq_nocase(text, TN_STR("off"))) {
        *ret_value = false;
        return true;
    }
    return false;
}

static bool parse_double(struct tn_str text, double *ret_value)
{
    char copy[64];
    if (text.len == 0 || text.len >= sizeof copy || text.ptr[0] == ' ')
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    char *end = NULL;
    errno = 0;
    double value = strtod(copy, &end);
    if (end != copy + text.len || errno == ERANGE || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

/* The item of a comma-separated list equal to `text`, as spelled in the list. */
static bool find_choice(const char *choices, struct tn_str text, struct tn_str *ret_item)
{
    for (const char *p = choices; *p;) {
        size_t len = strcspn(p, ",");
        struct tn_str item = {p, len};
        if (tn_str_eq_nocase(item, text)) {
            *ret_item = item;
            return true;
        }
        p += len + (p[len] == ',');
    }
    return false;
}

static const char *type_name(enum tn_opt_type type)
{
    static const char *const names[] = {
        [TN_OPT_BOOL] = "true or false",       [TN_OPT_INT] = "a whole number",
        [TN_OPT_BYTES] = "a size such as 64m", [TN_OPT_MS] = "a duration such as 100ms or 5s",
        [TN_OPT_DOUBLE] = "a number",          [TN_OPT_STRING] = "text",
        [TN_OPT_CHOICE] = "a choice"};
    return names[type];
}

static void *field_of(const struct tn_opt *opt, void *target)
{
    return (char *)target + opt->offset;
}

static enum tn_status bad_value(const struct tn_opts *opts, const struct tn_opt *opt,
                                struct tn_str value, struct tn_err *err)
{
    if (opt->flags & TN_OPT_SECRET)
        value = TN_STR("***");
    if (opt->type == TN_OPT_CHOICE)
        return tn_err_set(err, TN_E_INVALID, "%s option '%s': '%.*s' is not one of %s",
                          opts->component, opt->name, TN_STR_FMT(value), opt->choices);
    return tn_err_set(err, TN_E_INVALID, "%s option '%s': expected %s, got '%.*s'", opts->component,
                      opt->name, type_name(opt->type), TN_STR_FMT(value));
}

static enum tn_status set_int(const struct tn_opts *opts, const struct tn_opt *opt, void *field,
                              struct tn_str value, struct tn_err *err)
{
    int64_t number = 0;
    if (!parse_int(value, units_of(opt->type), &number))
        return bad_value(opts, opt, value, err);
    if ((opt->min || opt->max) && (number < opt->min || number > opt->max))
        return tn_err_set(err, TN_E_INVALID,
                          "%s option '%s': %lld is out of range, expected %lld to %lld",
                          opts->component, opt->name, (long long)number, (long long)opt->min,
                          (long long)opt->max);
    memcpy(field, &number, sizeof number);
    return TN_OK;
}

static void set_pair(const struct tn_opt *opt, struct tn_opt_pair **list, struct tn_str name,
                     struct tn_str value, struct tn_arena *arena)
{
    size_t skip = strlen(opt->name);
    struct tn_str rest = {name.ptr + skip, name.len - skip};
    for (; *list; list = &(*list)->next) {
        if (tn_str_eq(tn_str_of((*list)->name), rest))
            break;
    }
    if (!*list) {
        *list = TN_ARENA_NEW(arena, struct tn_opt_pair);
        (*list)->name = tn_arena_str(arena, rest).ptr;
    }
    (*list)->value = tn_arena_str(arena, value).ptr;
}

static enum tn_status set_value(const struct tn_opts *opts, const struct tn_opt *opt, void *target,
                                struct tn_str name, struct tn_str value, struct tn_arena *arena,
                                struct tn_err *err)
{
    void *field = field_of(opt, target);
    if (opt->flags & TN_OPT_PREFIX) {
        set_pair(opt, field, name, value, arena);
        return TN_OK;
    }
    switch (opt->type) {
    case TN_OPT_BOOL:
        if (!parse_bool(value, field))
            return bad_value(opts, opt, value, err);
        return TN_OK;
    case TN_OPT_INT:
    case TN_OPT_BYTES:
    case TN_OPT_MS: return set_int(opts, opt, field, value, err);
    case TN_OPT_DOUBLE:
        if (!parse_double(value, field))
            return bad_value(opts, opt, value, err);
        return TN_OK;
    case TN_OPT_CHOICE:
        if (!find_choice(opt->choices, value, &value))
            return bad_value(opts, opt, value, err);
        break;
    case TN_OPT_STRING:
        if (memchr(value.ptr ? value.ptr : "", 0, value.len))
            return bad_value(opts, opt, TN_STR("text with a NUL byte"), err);
        break;
    }
    *(const char **)field = tn_arena_str(arena, value).ptr;
    return TN_OK;
}

const struct tn_opt *tn_opt_find(const struct tn_opts *opts, struct tn_str name)
{
    const struct tn_opt *prefix = NULL;
    for (size_t i = 0; i < opts->count; i++) {
        const struct tn_opt *opt = &opts->items[i];
        size_t len = strlen(opt->name);
        if (!(opt->flags & TN_OPT_PREFIX)) {
            if (tn_str_eq_nocase(name, (struct tn_str){opt->name, len}))
                return opt;
        } else if (name.len > len && strncasecmp(name.ptr, opt->name, len) == 0 &&
                   (!prefix || len > strlen(prefix->name))) {
            prefix = opt;
        }
    }
    return prefix;
}

static enum tn_status unknown_option(const struct tn_opts *opts, struct tn_str name,
                                     struct tn_err *err)
{
    const char *names[NAMES_MAX];
    size_t names_count = 0;
    for (size_t i = 0; i < opts->count && names_count < NAMES_MAX; i++)
        names[names_count++] = opts->items[i].name;
    const char *nearest = tn_str_nearest(name, names, names_count);
    enum tn_status st =
        tn_err_set(err, TN_E_NAME, "unknown %s option '%.*s'", opts->component, TN_STR_FMT(name));
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    return st;
}

enum tn_status tn_opt_set(const struct tn_opts *opts, void *target, struct tn_str name,
                          struct tn_str value, struct tn_arena *arena, struct tn_err *err)
{
    const struct tn_opt *opt = tn_opt_find(opts, name);
    if (!opt)
        return unknown_option(opts, name, err);
    if (opt->unsupported)
        return tn_err_set(err, TN_E_UNSUPPORTED, "%s option '%s' is not available: %s",
                          opts->component, opt->name, opt->unsupported);
    return set_value(opts, opt, target, name, value, arena, err);
}

void tn_opt_defaults(const struct tn_opts *opts, void *target, struct tn_arena *arena)
{
    for (size_t i = 0; i < opts->count; i++) {
        const struct tn_opt *opt = &opts->items[i];
        void *field = field_of(opt, target);
        if (opt->unsupported)
            continue; /* may have no field at all */
        if (opt->flags & TN_OPT_PREFIX || !opt->deflt) {
            if (opt->flags & TN_OPT_PREFIX || opt->type >= TN_OPT_STRING)
                *(void **)field = NULL;
            else
                memset(field, 0, opt->type == TN_OPT_BOOL ? sizeof(bool) : 8);
            continue;
        }
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st =
            set_value(opts, opt, target, tn_str_of(opt->name), tn_str_of(opt->deflt), arena, &err);
        TN_ASSERT(st == TN_OK); /* a default that its own row refuses is a broken table */
    }
}

enum tn_status tn_opt_check_required(const struct tn_opts *opts, const bool *is_set,
                                     struct tn_err *err)
{
    for (size_t i = 0; i < opts->count; i++)
        if (opts->items[i].flags & TN_OPT_REQUIRED && !is_set[i])
            return tn_err_set(err, TN_E_INVALID, "%s option '%s' is missing", opts->component,
                              opts->items[i].name);
    return TN_OK;
}

/* Largest unit that divides the value, so that a default reads as it was written. */
static void print_units(int64_t value, const struct unit *units, struct tn_buf *buf)
{
    static const char *const shown[] = {"k", "m", "g", "t", "ms", "s", "h", "d", NULL};
    const struct unit *best = NULL;
    for (const struct unit *u = units; u->suffix && value != 0; u++) {
        bool is_shown = false;
        for (size_t i = 0; shown[i]; i++)
            is_shown |= strcmp(shown[i], u->suffix) == 0;
        if ((is_shown || u->factor == 60000) && strlen(u->suffix) <= 2 && value % u->factor == 0 &&
            (!best || u->factor > best->factor))
            best = u;
    }
    tn_buf_add_i64(buf, best ? value / best->factor : value);
    if (best)
        tn_buf_add_text(buf, best->suffix);
}

static void print_pairs(const struct tn_opt *opt, const struct tn_opt_pair *pair,
                        struct tn_buf *buf)
{
    for (const struct tn_opt_pair *p = pair; p; p = p->next)
        tn_buf_printf(buf, "%s%s%s=%s", p == pair ? "" : " ", opt->name, p->name,
                      opt->flags & TN_OPT_SECRET ? "***" : p->value);
}

void tn_opt_print_value(const struct tn_opt *opt, const void *target, struct tn_buf *buf)
{
    const void *field = (const char *)target + opt->offset;
    if (opt->flags & TN_OPT_PREFIX) {
        print_pairs(opt, *(struct tn_opt_pair *const *)field, buf);
        return;
    }
    int64_t number = 0;
    if (opt->type == TN_OPT_INT || opt->type == TN_OPT_BYTES || opt->type == TN_OPT_MS)
        memcpy(&number, field, sizeof number);
    const char *text = opt->type >= TN_OPT_STRING ? *(const char *const *)field : NULL;
    if (opt->flags & TN_OPT_SECRET) {
        if (text)
            tn_buf_add_text(buf, "***");
        return;
    }
    switch (opt->type) {
    case TN_OPT_BOOL: tn_buf_add_text(buf, *(const bool *)field ? "true" : "false"); break;
    case TN_OPT_INT: tn_buf_add_i64(buf, number); break;
    case TN_OPT_BYTES:
    case TN_OPT_MS: print_units(number, units_of(opt->type), buf); break;
    case TN_OPT_DOUBLE: tn_buf_printf(buf, "%g", *(const double *)field); break;
    case TN_OPT_STRING:
    case TN_OPT_CHOICE: tn_buf_add_text(buf, text ? text : ""); break;
    }
}

static const char *value_word(const struct tn_opt *opt)
{
    static const char *const words[] = {
        [TN_OPT_BOOL] = "BOOL",    [TN_OPT_INT] = "N",         [TN_OPT_BYTES] = "SIZE",
        [TN_OPT_MS] = "DURATION",  [TN_OPT_DOUBLE] = "NUMBER", [TN_OPT_STRING] = "TEXT",
        [TN_OPT_CHOICE] = "CHOICE"};
    return words[opt->type];
}

void tn_opt_print_help(const struct tn_opts *opts, struct tn_buf *buf)
{
    for (size_t i = 0; i < opts->count; i++) {
        const struct tn_opt *opt = &opts->items[i];
        struct tn_buf left;
        tn_buf_init(&left, 4096);
        tn_buf_printf(&left, "--%s%s %s", opt->name, opt->flags & TN_OPT_PREFIX ? "*" : "",
                      opt->type == TN_OPT_CHOICE ? opt->choices : value_word(opt));
        tn_buf_printf(buf, "  %-38s %s", tn_buf_cstr(&left), opt->help ? opt->help : "");
        if (opt->flags & TN_OPT_REQUIRED)
            tn_buf_add_text(buf, " (required)");
        else if (opt->deflt && *opt->deflt)
            tn_buf_printf(buf, " (default %s)", opt->deflt);
        if (opt->unsupported)
            tn_buf_printf(buf, " (not available: %s)", opt->unsupported);
        tn_buf_add_byte(buf, '\n');
        tn_buf_release(&left);
    }
}

void tn_opt_print_markdown(const struct tn_opts *opts, struct tn_buf *buf)
{
    tn_buf_printf(buf, "### %s\n\n| option | type | default | meaning |\n|---|---|---|---|\n",
                  opts->component);
    for (size_t i = 0; i < opts->count; i++) {
        const struct tn_opt *opt = &opts->items[i];
        tn_buf_printf(buf, "| `%s%s` | ", opt->name, opt->flags & TN_OPT_PREFIX ? "*" : "");
        if (opt->type == TN_OPT_CHOICE)
            tn_buf_printf(buf, "one of `%s`", opt->choices);
        else
            tn_buf_add_text(buf, type_name(opt->type));
        if (opt->min || opt->max)
            tn_buf_printf(buf, ", %lld … %lld", (long long)opt->min, (long long)opt->max);
        tn_buf_printf(buf, " | %s%s%s | %s%s |\n", opt->deflt ? "`" : "",
                      opt->deflt                     ? opt->deflt
                      : opt->flags & TN_OPT_REQUIRED ? "required"
                                                     : "",
                      opt->deflt ? "`" : "", opt->help ? opt->help : "",
                      opt->flags & TN_OPT_DYNAMIC ? " (may change while running)" : "");
    }
    tn_buf_add_byte(buf, '\n');
}
