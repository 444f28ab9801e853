/* Regular expressions by PCRE2, whose syntax is a near superset of Java's (POSIX's is not: no \d,
 * no lazy quantifiers, no look-around). Not as in Java: possessive and atomic groups inside
 * character-class set operations ([a-z&&[^b]]) and \p{IsAlphabetic}-style property names; PCRE2
 * reports those it does not know. Matching has step and depth limits, so a pattern cannot run away;
 * a row that hits them fails.
 *
 * A compiled pattern lives in PCRE2's memory for one call of a kernel. @thread the running one */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "stream/base/utf8.h"
#include "stream/func_int.h"

#define MATCH_STEPS_MAX 1000000
#define MATCH_DEPTH_MAX 10000
#define JIT_ROWS_MIN    64 /* compiling to machine code pays from about here */

struct regex {
    struct tn_call *call;
    uint32_t pattern_arg;
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static void regex_open(struct regex *regex, struct tn_call *call, uint32_t pattern_arg)
{
    *regex = (struct regex){.call = call, .pattern_arg = pattern_arg};
    regex->context = pcre2_match_context_create(NULL);
    TN_ASSERT(regex->context);
    pcre2_set_match_limit(regex->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(regex->context, MATCH_DEPTH_MAX);
}

static void regex_drop(struct regex *regex)
{
    pcre2_match_data_free(regex->data);
    pcre2_code_free(regex->code);
    regex->data = NULL;
    regex->code = NULL;
}

static void regex_close(struct regex *regex)
{
    regex_drop(regex);
    pcre2_match_context_free(regex->context);
}

/* Compile the pattern of the row unless it is constant and ready. */
static bool regex_ready(struct regex *regex, uint32_t row)
{
    struct tn_call *call = regex->call;
    if (regex->code && call->is_const[regex->pattern_arg])
        return true;
    struct tn_str pattern = tni_arg_str(call, regex->pattern_arg, row);
    int code;
    PCRE2_SIZE offset;
    regex_drop(regex);
    regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
                                PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C, &code,
                                &offset, NULL);
    if (!regex->code) {
        PCRE2_UCHAR text[100];
        pcre2_get_error_message(code, text, sizeof text);
        tni_error_argument(call, row, "bad regular expression '%.*s' at %zu: %s",
                           (int)(pattern.len < 60 ? pattern.len : 60), pattern.ptr, offset + 1,
                           (const char *)text);
        return false;
    }
    if (call->rows_count >= JIT_ROWS_MIN)
        pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* may fail: the interpreter serves */
    regex->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
    TN_ASSERT(regex->data);
    return true;
}

/* Next match at or behind `from`; false when there is none or the row failed. */
static bool regex_match(struct regex *regex, uint32_t row, struct tn_str text, size_t from)
{
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)text.ptr, text.len, from, PCRE2_NO_UTF_CHECK,
                         regex->data, regex->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, (PCRE2_SPTR)text.ptr, text.len, from,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, regex->data, regex->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        tni_error_argument(regex->call, row, "regular expression is too expensive for this text");
    return rc >= 0;
}

/* Group of the last match; false when it took no part. */
static bool regex_group(const struct regex *regex, struct tn_str text, uint32_t group,
                        struct tn_str *ret_part)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(regex->data);
    if (at[2 * group] == PCRE2_UNSET)
        return false;
    *ret_part = (struct tn_str){text.ptr + at[2 * group], at[2 * group + 1] - at[2 * group]};
    return true;
}

/* Where to look for the next match: behind this one, one character further when it is empty. */
static size_t regex_next(const struct regex *regex, struct tn_str text)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(regex->data);
    size_t next = at[1];
    if (at[1] == at[0])
        for (next++; next < text.len && tn_utf8_is_tail(text.ptr[next]); next++)
            ;
    return next;
}

/* Group number of argument `arg`; −1 after failing the row. */
static int64_t group_of(struct regex *regex, uint32_t arg, uint32_t row)
{
    int64_t group = regex->call->args_count > arg ? tni_arg_i64(regex->call, arg, row) : 0;
    uint32_t count = pcre2_get_ovector_count(regex->data) - 1;
    if (group >= 0 && group <= count)
        return group;
    tni_error_argument(regex->call, row, "pattern has %u groups; cannot access group %lld", count,
                       (long long)group);
    return -1;
}

/* Java functions of stream rules take the pattern first. */
static uint32_t pattern_arg_of(const struct tn_call *call)
{
    bool is_first =
        call->func->flags & TN_FN_STREAM && strncmp(call->func->name, "regexp_extract", 14) == 0;
    return is_first ? 0 : 1;
}

static void kernel_like(struct tn_call *call)
{
    struct regex regex;
    regex_open(&regex, call, 1);
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tni_row_ok(call, row) && regex_ready(&regex, row) &&
            regex_match(&regex, row, tni_arg_str(call, 0, row), 0))
            tn_bit_set(call->out->col.values, row);
    regex_close(&regex);
}

static void kernel_extract(struct tn_call *call)
{
    struct regex regex;
    struct tni_text out;
    uint32_t pattern_arg = pattern_arg_of(call);
    regex_open(&regex, call, pattern_arg);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && regex_ready(&regex, row)) {
            struct tn_str text = tni_arg_str(call, 1 - pattern_arg, row), part;
            int64_t group = group_of(&regex, 2, row);
            bool is_found = group >= 0 && regex_match(&regex, row, text, 0) &&
                            regex_group(&regex, text, (uint32_t)group, &part);
            if (is_found)
                tni_text_add(&out, part);
            else if (tni_row_ok(call, row))
                tni_null(call, row);
        }
        tni_text_end(&out);
    }
    regex_close(&regex);
    tni_text_close(&out);
}

static void kernel_count(struct tn_call *call)
{
    struct regex regex;
    regex_open(&regex, call, 1);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row) || !regex_ready(&regex, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        int64_t count = 0;
        for (size_t at = 0; at <= text.len && regex_match(&regex, row, text, at);
             at = regex_next(&regex, text))
            count++;
        TNI_OUT(call, int64_t)[row] = count;
    }
    regex_close(&regex);
}

static void kernel_position(struct tn_call *call)
{
    struct regex regex;
    regex_open(&regex, call, 1);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str part;
        if (!tni_row_ok(call, row) || !regex_ready(&regex, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        TNI_OUT(call, int64_t)[row] = -1;
        if (regex_match(&regex, row, text, 0) && regex_group(&regex, text, 0, &part))
            TNI_OUT(call, int64_t)
        [row] =
            (int64_t)tn_utf8_count((struct tn_str){text.ptr, (size_t)(part.ptr - text.ptr)}) + 1;
    }
    regex_close(&regex);
}

/* ---- replacing ---- */

/* $1, ${name}; \x is x. False on a group that the pattern has not. */
static bool add_replacement(struct regex *regex, struct tni_text *out, struct tn_str text,
                            struct tn_str with)
{
    struct tn_str part;
    for (size_t i = 0; i < with.len; i++) {
        char c = with.ptr[i];
        if (c == '\\' && i + 1 < with.len) {
            tni_text_add(out, (struct tn_str){with.ptr + ++i, 1});
        } else if (c != '$') {
            tni_text_add(out, (struct tn_str){with.ptr + i, 1});
        } else if (i + 1 < with.len && with.ptr[i + 1] >= '0' && with.ptr[i + 1] <= '9') {
            uint32_t group = (uint32_t)(with.ptr[++i] - '0');
            uint32_t count = pcre2_get_ovector_count(regex->data);
            while (i + 1 < with.len && with.ptr[i + 1] >= '0' && with.ptr[i + 1] <= '9' &&
                   group * 10 + (uint32_t)(with.ptr[i + 1] - '0') < count)
                group = group * 10 + (uint32_t)(with.ptr[++i] - '0');
            if (group >= count)
                return false;
            if (regex_group(regex, text, group, &part))
                tni_text_add(out, part);
        } else {
            const char *close = i + 1 < with.len && with.ptr[i + 1] == '{'
                                    ? memchr(with.ptr + i, '}', with.len - i)
                                    : NULL;
            char name[40];
            size_t len = close ? (size_t)(close - with.ptr) - i - 2 : 0;
            if (!close || len == 0 || len >= sizeof name)
                return false;
            memcpy(name, with.ptr + i + 2, len);
            name[len] = 0;
            int group = pcre2_substring_number_from_name(regex->code, (PCRE2_SPTR)name);
            if (group < 0)
                return false;
            if (regex_group(regex, text, (uint32_t)group, &part))
                tni_text_add(out, part);
            i = (size_t)(close - with.ptr);
        }
    }
    return true;
}

static void replace_row(struct regex *regex, struct tni_text *out, uint32_t row)
{
    struct tn_call *call = regex->call;
    struct tn_str text = tni_arg_str(call, 0, row), whole = {0};
    struct tn_str with = call->args_count == 3 ? tni_arg_str(call, 2, row) : TN_STR("");
    size_t done = 0, at = 0;
    while (at <= text.len && regex_match(regex, row, text, at)) {
        regex_group(regex, text, 0, &whole);
        size_t from = (size_t)(whole.ptr - text.ptr);
        tni_text_add(out, (struct tn_str){text.ptr + done, from - done});
        if (!add_replacement(regex, out, text, with)) {
            tni_error_argument(call, row, "bad group in the replacement '%.*s'",
                               (int)(with.len < 60 ? with.len : 60), with.ptr);
            return;
        }
        done = from + whole.len;
        at = regex_next(regex, text);
    }
    tni_text_add(out, (struct tn_str){text.ptr + done, text.len - done});
}

static void kernel_replace(struct tn_call *call)
{
    struct regex regex;
    struct tni_text out;
    regex_open(&regex, call, 1);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && regex_ready(&regex, row))
            replace_row(&regex, &out, row);
        tni_text_end(&out);
    }
    regex_close(&regex);
    tni_text_close(&out);
}

/* ---- lists ---- */

struct parts {
    struct tn_arena *arena;
    const struct tn_type *type;
    uint32_t count, cap;
    struct tn_value *items;
};

static void add_part(struct parts *parts, struct tn_str text)
{
    if (parts->count == parts->cap) {
        parts->cap = parts->cap ? parts->cap * 2 : 8;
        struct tn_value *items = TN_ARENA_ARRAY(parts->arena, struct tn_value, parts->cap);
        if (parts->count)
            memcpy(items, parts->items, parts->count * sizeof *items);
        parts->items = items;
    }
    parts->items[parts->count++] =
        (struct tn_value){.type = parts->type, .is_null = !text.ptr, .s = text};
}

static void collect_matches(struct regex *regex, uint32_t row, struct tn_str text,
                            struct parts *parts)
{
    int64_t group = group_of(regex, 2, row);
    for (size_t at = 0; group >= 0 && at <= text.len && regex_match(regex, row, text, at);
         at = regex_next(regex, text)) {
        struct tn_str part = {0};
        regex_group(regex, text, (uint32_t)group, &part);
        add_part(parts, part);
    }
}

static void collect_between(struct regex *regex, uint32_t row, struct tn_str text,
                            struct parts *parts)
{
    size_t done = 0;
    struct tn_str whole = {0};
    for (size_t at = 0; at <= text.len && regex_match(regex, row, text, at);
         at = regex_next(regex, text)) {
        regex_group(regex, text, 0, &whole);
        size_t from = (size_t)(whole.ptr - text.ptr);
        bool is_edge = whole.len == 0 && (from == 0 || from == text.len);
        if (is_edge)
            continue; /* Java: an empty match at either end cuts nothing off */
        add_part(parts, (struct tn_str){text.ptr + done, from - done});
        done = from + whole.len;
    }
    add_part(parts, (struct tn_str){text.ptr + done, text.len - done});
}

static void kernel_list(struct tn_call *call)
{
    struct regex regex;
    bool is_split = strncmp(call->func->name, "regexp_split", 12) == 0;
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    uint32_t pattern_arg = is_split ? 1 : pattern_arg_of(call);
    regex_open(&regex, call, pattern_arg);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct parts parts = {.arena = call->arena, .type = call->type->children[0].type};
        bool is_ok = tni_row_ok(call, row) && regex_ready(&regex, row);
        struct tn_str text = tni_arg_str(call, 1 - pattern_arg, row);
        if (!text.ptr)
            text.ptr = "";
        if (is_ok && is_split)
            collect_between(&regex, row, text, &parts);
        else if (is_ok)
            collect_matches(&regex, row, text, &parts);
        tn_colbuilder_add(builder, &(struct tn_value){.type = call->type,
                                                      .is_null = !is_ok || !tni_row_ok(call, row),
                                                      .list = {parts.count, parts.items}});
    }
    regex_close(&regex);
    tni_finish(call, builder);
}

static enum tn_status resolve_list(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    (void)func;
    (void)arg_types;
    (void)args_count;
    *ret_type = tn_type_array(arena, tn_type_of(TN_K_VARCHAR));
    return TN_OK;
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN("regexp_like", QUERY, "ss", BOOLEAN, kernel_like, "whether the pattern is found"),
    TNI_FN("regexp_extract", QUERY, "ss", VARCHAR, kernel_extract, "first match"),
    TNI_FN("regexp_extract", QUERY, "ssl", VARCHAR, kernel_extract, "group n of the first match"),
    TNI_FN("regexp_extract", STREAM, "ss", VARCHAR, kernel_extract, "first match (pattern, text)"),
    TNI_FN("regexp_extract", STREAM, "ssl", VARCHAR, kernel_extract,
           "group n of the first match (pattern, text, n)"),
    TNI_FN_TYPED("regexp_extract_all", QUERY, "ss", resolve_list, kernel_list, "all matches"),
    TNI_FN_TYPED("regexp_extract_all", QUERY, "ssl", resolve_list, kernel_list,
                 "group n of all matches"),
    TNI_FN_TYPED("regexp_extract_all", STREAM, "ss", resolve_list, kernel_list,
                 "all matches (pattern, text)"),
    TNI_FN_TYPED("regexp_extract_all", STREAM, "ssl", resolve_list, kernel_list,
                 "group n of all matches (pattern, text, n)"),
    TNI_FN("regexp_replace", QUERY, "ss", VARCHAR, kernel_replace, "without matches"),
    TNI_FN("regexp_replace", TNI_BOTH, "sss", VARCHAR, kernel_replace,
           "matches replaced; $n is group n"),
    TNI_FN_TYPED("regexp_split", QUERY, "ss", resolve_list, kernel_list, "parts between matches"),
    TNI_FN_TYPED("regexp_split_to_array", STREAM, "ss", resolve_list, kernel_list,
                 "parts between matches"),
    TNI_FN("regexp_count", QUERY, "ss", BIGINT, kernel_count, "number of matches"),
    TNI_FN("regexp_position", QUERY, "ss", BIGINT, kernel_position,
           "place of the first match, -1 if absent"),
};

TNI_TABLE(regex);
