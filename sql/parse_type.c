/* Types, in ksqlDB's and Trino's spelling. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

static void add_child(struct tni_parser *parser, struct tn_ast_type *type, struct tn_ident name,
                      struct tn_ast_type *child)
{
    uint32_t names_count = type->children_count;
    *TNI_PUSH(parser, type->children, type->children_count) = child;
    if (type->kind == TN_AT_STRUCT)
        *TNI_PUSH(parser, type->names, names_count) = name;
    tni_raise(parser, &type->height, child->height, type->line, type->col);
}

/* '<' or '('; returns the closing one. */
static int open_bracket(struct tni_parser *parser)
{
    if (tni_accept_op(parser, '<'))
        return '>';
    tni_expect_op(parser, '(');
    return ')';
}

/* Does the field begin with a name? "a bigint" does, "bigint", "varchar(3)" and "double precision"
 * do not. */
static bool has_field_name(const struct tni_parser *parser)
{
    struct tni_token next = tni_peek(parser, 1);
    if (next.kind != TNI_T_WORD && next.kind != TNI_T_QUOTED)
        return false;
    if (tni_is_kw(parser, TNI_KW_DOUBLE) && tni_token_is_kw(&next, TNI_KW_PRECISION))
        return false;
    bool is_time = tni_is_kw(parser, TNI_KW_TIME) || tni_is_kw(parser, TNI_KW_TIMESTAMP);
    bool is_zone = tni_token_is_kw(&next, TNI_KW_WITH) || tni_token_is_kw(&next, TNI_KW_WITHOUT);
    if ((is_time && is_zone) || tni_token_is_kw(&next, TNI_KW_ARRAY)) {
        struct tni_token after = tni_peek(parser, 2);
        return !is_zone && (tni_token_is_op(&after, '(') || tni_token_is_op(&after, '<'));
    }
    if (tni_is_kw(parser, TNI_KW_INTERVAL) &&
        (tni_token_is_kw(&next, TNI_KW_YEAR) || tni_token_is_kw(&next, TNI_KW_DAY)))
        return false;
    return true;
}

static void parse_struct_type(struct tni_parser *parser, struct tn_ast_type *type)
{
    type->kind = TN_AT_STRUCT;
    int close = open_bracket(parser);
    if (!tni_is_op(parser, close))
        do {
            struct tn_ident name = {0};
            if (has_field_name(parser))
                name = tni_ident_any(parser, "a field name");
            add_child(parser, type, name, tni_parse_type(parser));
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, close);
}

static void parse_nested_type(struct tni_parser *parser, struct tn_ast_type *type, int children)
{
    static const struct tn_ident no_name;
    type->kind = children == 1 ? TN_AT_ARRAY : TN_AT_MAP;
    int close = open_bracket(parser);
    add_child(parser, type, no_name, tni_parse_type(parser));
    if (children == 2) {
        tni_expect_op(parser, ',');
        add_child(parser, type, no_name, tni_parse_type(parser));
    }
    tni_expect_op(parser, close);
}

static void set_word(struct tn_ast_type *type, const char *word)
{
    type->name.text = tn_str_of(word);
    type->name.is_quoted = false;
}

/* INTERVAL DAY TO SECOND, INTERVAL YEAR TO MONTH; behind INTERVAL */
static void parse_interval_type(struct tni_parser *parser, struct tn_ast_type *type)
{
    if (tni_accept(parser, TNI_KW_YEAR)) {
        tni_expect(parser, TNI_KW_TO);
        tni_expect(parser, TNI_KW_MONTH);
        set_word(type, "INTERVAL YEAR TO MONTH");
    } else {
        tni_expect(parser, TNI_KW_DAY);
        tni_expect(parser, TNI_KW_TO);
        tni_expect(parser, TNI_KW_SECOND);
        set_word(type, "INTERVAL DAY TO SECOND");
    }
}

static void parse_numbers(struct tni_parser *parser, struct tn_ast_type *type)
{
    if (!tni_accept_op_quiet(parser, '('))
        return;
    do {
        if (type->numbers_count == 2) {
            tni_fail_at(parser, parser->tok.line, parser->tok.col,
                        "type '%.*s' has more than two arguments", TN_STR_FMT(type->name.text));
            return;
        }
        type->numbers[type->numbers_count++] = tni_integer(parser, "a number");
    } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
}

/* [WITH|WITHOUT TIME ZONE] */
static void parse_zone(struct tni_parser *parser, struct tn_ast_type *type)
{
    bool is_with = tni_is_kw(parser, TNI_KW_WITH);
    if ((is_with || tni_is_kw(parser, TNI_KW_WITHOUT)) && tni_peek_kw(parser, TNI_KW_TIME)) {
        tni_advance(parser);
        tni_advance(parser);
        tni_expect(parser, TNI_KW_ZONE);
        type->is_zoned = is_with;
    }
}

static void parse_named_type(struct tni_parser *parser, struct tn_ast_type *type)
{
    enum tni_kw kw = parser->tok.kind == TNI_T_WORD ? parser->tok.kw : TNI_KW_NONE;
    struct tni_token next = tni_peek(parser, 1);
    bool is_open = tni_token_is_op(&next, '<') || tni_token_is_op(&next, '(');
    type->name = tni_ident(parser, "a type");
    if (kw == TNI_KW_ARRAY && is_open) {
        parse_nested_type(parser, type, 1);
    } else if (kw == TNI_KW_MAP && is_open) {
        parse_nested_type(parser, type, 2);
    } else if ((kw == TNI_KW_STRUCT || kw == TNI_KW_ROW) && is_open) {
        parse_struct_type(parser, type);
    } else if (kw == TNI_KW_INTERVAL &&
               (tni_is_kw(parser, TNI_KW_YEAR) || tni_is_kw(parser, TNI_KW_DAY))) {
        parse_interval_type(parser, type);
    } else if (kw == TNI_KW_DOUBLE && tni_is_kw(parser, TNI_KW_PRECISION)) {
        tni_advance(parser);
        set_word(type, "DOUBLE");
    } else {
        parse_numbers(parser, type);
        if (kw == TNI_KW_TIME || kw == TNI_KW_TIMESTAMP)
            parse_zone(parser, type);
    }
}

struct tn_ast_type *tni_parse_type(struct tni_parser *parser)
{
    struct tn_ast_type *type = TN_ARENA_NEW(parser->arena, struct tn_ast_type);
    type->line = parser->tok.line;
    type->col = parser->tok.col;
    type->height = 1;
    tni_count_node(parser, type->line, type->col);
    if (tni_enter(parser))
        parse_named_type(parser, type);
    tni_leave(parser);
    while (tni_is_kw(parser, TNI_KW_ARRAY)) { /* bigint ARRAY: Trino's older form */
        struct tn_ast_type *array = TN_ARENA_NEW(parser->arena, struct tn_ast_type);
        array->kind = TN_AT_ARRAY;
        array->line = type->line;
        array->col = type->col;
        array->height = 1;
        tni_advance(parser);
        add_child(parser, array, (struct tn_ident){0}, type);
        type = array;
    }
    return type;
}
