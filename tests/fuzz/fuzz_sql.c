/* Fuzz target: lexer, parser and printer of SQL. Whatever the bytes, nothing crashes and nothing
 * recurses without bound; an error has a position inside the text; what parses prints to text that
 * parses and prints as itself. The first byte of the input chooses the identifier rules. */
#include "sql/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_BYTES (16 * 1024 * 1024)

static void check_fixed_point(const struct tn_ast_stmt *stmt, const struct tn_parse_opts *opts)
{
    struct tn_arena arena;
    struct tn_buf first, second;
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *again;
    tn_arena_init(&arena, 0);
    tn_buf_init(&first, TEXT_BYTES);
    tn_buf_init(&second, TEXT_BYTES);
    tn_ast_print_stmt(stmt, &first);
    enum tn_status st = tn_parse_statement(tn_buf_str(&first), opts, &arena, &again, &err);
    /* canonical text may be longer than the original: a limit is a fair answer, nothing else is */
    TN_ASSERT(st == TN_OK || st == TN_E_LIMIT);
    if (st == TN_OK) {
        tn_ast_print_stmt(again, &second);
        TN_ASSERT(tn_str_eq(tn_buf_str(&first), tn_buf_str(&second)));
    }
    tn_buf_release(&first);
    tn_buf_release(&second);
    tn_arena_release(&arena);
}

static void check_error(const struct tn_err *err, struct tn_str text)
{
    int lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    TN_ASSERT(err->code >= TN_E_INVALID && err->message[0]);
    TN_ASSERT(err->line >= 1 && err->line <= lines && err->col >= 1);
    TN_ASSERT((size_t)err->col <= text.len + 1);
}

static struct tn_str lookup(void *ctx, struct tn_str name)
{
    (void)ctx;
    return name.len % 2 ? name : (struct tn_str){0};
}

/* Parts lie in the text, in order, and together hold every statement. */
static void check_split(struct tn_str text)
{
    struct tn_script_part part;
    struct tn_buf out;
    struct tn_err err = TN_ERR_INIT;
    size_t pos = 0;
    const char *end = text.ptr;
    int line = 1, col = 1;
    while (tn_script_next(text, &pos, &line, &col, &part) == TN_OK) {
        TN_ASSERT(part.text.len > 0 && part.text.ptr >= end);
        end = part.text.ptr + part.text.len;
        TN_ASSERT(end <= text.ptr + text.len && pos <= text.len);
    }
    tn_buf_init(&out, TEXT_BYTES);
    if (tn_failed(tn_script_substitute(text, 1, 1, lookup, NULL, &out, &err)))
        check_error(&err, text);
    tn_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct tn_str text = {(const char *)data + 1, size - 1};
    struct tn_parse_opts opts = {.is_identifiers_ksql = data[0] & 1};
    struct tn_ast_script script = {0};
    struct tn_ast_expr *expr;
    struct tn_ast_type *type;
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    check_split(text);
    if (tn_failed(tn_parse_script(text, &opts, &arena, &script, &err)))
        check_error(&err, text);
    for (uint32_t i = 0; i < script.stmts_count; i++)
        check_fixed_point(script.stmts[i], &opts);
    if (tn_failed(tn_parse_expr(text, &opts, &arena, &expr, &err)))
        check_error(&err, text);
    if (tn_failed(tn_parse_type(text, &opts, &arena, &type, &err)))
        check_error(&err, text);
    tn_arena_release(&arena);
    return 0;
}
