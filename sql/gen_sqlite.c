/* Generator, queries: SELECT, FROM, joins, set operations, and moving conditions to the relation
 * they concern.
 *
 * A grouped select becomes two: SELECT groups, aggregates … GROUP BY 1, 2 …, and around it the
 * items, HAVING and ORDER BY over its columns. FROM is written last (ropes), when the columns that
 * anything reads are known, so derived tables give NULL for the others and slots do not produce
 * them.
 *
 * Conditions move to a relation when they concern it alone and no outer join above may add rows of
 * NULLs for it: from WHERE through inner joins and to the preserved side of outer joins, from ON of
 * a LEFT JOIN to its right side.
 *
 * Ownership, threads: see gen_sqlite.h */
#include "sql/gen_sqlite_int.h"

#include <inttypes.h>
#include <stdio.h>

#define TERMS_MAX 256

/* ---- ropes ---- */

struct tni_rope_part {
    struct tni_rope_part *next;
    const char *text;
    const struct tni_rope *rope; /* instead of text */
};

static struct tni_rope_part *add_part(struct tni_gen *gen, struct tni_rope *rope)
{
    struct tni_rope_part *part = TN_ARENA_NEW(gen->arena, struct tni_rope_part);
    if (rope->tail)
        rope->tail->next = part;
    else
        rope->head = part;
    rope->tail = part;
    return part;
}

void tni_rope_text(struct tni_gen *gen, struct tni_rope *rope, const char *text)
{
    add_part(gen, rope)->text = text;
}

void tni_rope_printf(struct tni_gen *gen, struct tni_rope *rope, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TN_ASSERT(len >= 0 && (size_t)len < sizeof text);
    tni_rope_text(gen, rope, tn_arena_strdup(gen->arena, text));
}

void tni_rope_rope(struct tni_gen *gen, struct tni_rope *rope, const struct tni_rope *other)
{
    add_part(gen, rope)->rope = other;
}

void tni_rope_flatten(const struct tni_rope *rope, struct tn_buf *buf)
{
    for (const struct tni_rope_part *part = rope->head; part; part = part->next) {
        if (part->rope)
            tni_rope_flatten(part->rope, buf);
        else
            tn_buf_add_text(buf, part->text);
    }
}

static struct tni_rope *new_rope(struct tni_gen *gen)
{
    return TN_ARENA_NEW(gen->arena, struct tni_rope);
}

void *tni_gen_grow(struct tni_gen *gen, void *items, uint32_t count, uint32_t *io_cap, size_t size)
{
    *io_cap = *io_cap ? *io_cap * 2 : 8;
    void *more = tn_arena_zalloc(gen->arena, *io_cap, size);
    if (count)
        memcpy(more, items, count * size);
    return more;
}

enum tn_status tni_gen_enter(struct tni_gen *gen)
{
    if (++gen->depth > TNI_GEN_DEPTH_MAX)
        return tn_err_at(gen->err, TN_E_LIMIT, "EXCEEDED_QUERY_DEPTH", 0, 0,
                         "query is nested deeper than %d levels", TNI_GEN_DEPTH_MAX);
    return TN_OK;
}

/* ---- references ---- */

static void query_refs(const struct tn_query *query,
                       void (*each)(void *ctx, const struct tn_expr *ref), void *ctx);

static void rel_refs(const struct tn_rel *rel, void (*each)(void *ctx, const struct tn_expr *ref),
                     void *ctx)
{
    if (!rel)
        return;
    if (rel->query)
        query_refs(rel->query, each, ctx);
    for (uint32_t i = 0; rel->kind == TN_REL_VALUES && i < rel->rows_count; i++)
        for (uint32_t k = 0; k < rel->schema->fields_count; k++)
            tni_gen_refs(rel->rows[i][k], each, ctx);
    tni_gen_refs(rel->on, each, ctx);
    rel_refs(rel->left, each, ctx);
    rel_refs(rel->right, each, ctx);
}

static void query_refs(const struct tn_query *query,
                       void (*each)(void *ctx, const struct tn_expr *ref), void *ctx)
{
    if (!query)
        return;
    query_refs(query->left, each, ctx);
    query_refs(query->right, each, ctx);
    for (uint32_t i = 0; i < query->sorts_count; i++)
        tni_gen_refs(query->sorts[i].expr, each, ctx);
    const struct tn_select *select = query->select;
    if (query->op != TN_SET_NONE || !select)
        return;
    for (uint32_t i = 0; i < select->items_count; i++)
        tni_gen_refs(select->items[i].expr, each, ctx);
    for (uint32_t i = 0; i < select->groups_count; i++)
        tni_gen_refs(select->groups[i], each, ctx);
    tni_gen_refs(select->where, each, ctx);
    tni_gen_refs(select->having, each, ctx);
    rel_refs(select->from, each, ctx);
}

void tni_gen_refs(const struct tn_expr *expr, void (*each)(void *ctx, const struct tn_expr *ref),
                  void *ctx)
{
    if (!expr)
        return;
    if ((expr->kind == TN_E_COLUMN && expr->rel != TN_REL_LAMBDA) || expr->kind == TN_E_PSEUDO)
        each(ctx, expr);
    for (uint32_t i = 0; i < expr->args_count; i++)
        tni_gen_refs(expr->args[i], each, ctx);
    tni_gen_refs(expr->filter, each, ctx);
    if (expr->kind == TN_E_SUBQUERY)
        query_refs(((const struct tn_subquery *)expr->sub)->query, each, ctx);
    if (expr->kind == TN_E_WINDOW) {
        const struct tn_window_spec *window = expr->sub;
        for (uint32_t i = 0; i < window->parts_count; i++)
            tni_gen_refs(window->parts[i], each, ctx);
        for (uint32_t i = 0; i < window->sorts_count; i++)
            tni_gen_refs(window->sorts[i].expr, each, ctx);
    }
}

/* ---- conditions that concern one relation ---- */

struct one_rel {
    int rel; /* −1 none seen, −2 several */
};

static void see_rel(void *ctx, const struct tn_expr *ref)
{
    struct one_rel *one = ctx;
    one->rel = one->rel == -1 || one->rel == ref->rel ? ref->rel : -2;
}

static bool is_unmovable(const struct tn_expr *expr)
{
    return expr->kind == TN_E_SUBQUERY || expr->kind == TN_E_WINDOW || expr->kind == TN_E_AGG;
}

/* The relation a condition reads, when it is a single one and the condition can run over its
 * batches. */
static int rel_of(const struct tn_expr *expr)
{
    struct one_rel one = {-1};
    if (tni_expr_find(expr, is_unmovable) || tni_expr_is_volatile(expr))
        return -1;
    tni_gen_refs(expr, see_rel, &one);
    return one.rel;
}

static struct tn_expr *to_slot_node(void *ctx, const struct tn_expr *expr, enum tn_status *ret_st)
{
    struct tni_gen *gen = ctx;
    (void)ret_st;
    if ((expr->kind != TN_E_COLUMN && expr->kind != TN_E_PSEUDO) || expr->rel == TN_REL_LAMBDA)
        return NULL;
    int column = expr->column;
    if (expr->kind == TN_E_PSEUDO)
        column = tni_tscan_pseudo(gen->rels[expr->rel].rel->object, (enum tn_pseudo)expr->column);
    return tni_expr_column(gen->arena, (uint32_t)column, expr->type, expr);
}

static struct tn_expr *and_of(struct tni_gen *gen, struct tn_expr *a, struct tn_expr *b)
{
    if (!a)
        return b;
    struct tn_expr *expr = TN_ARENA_NEW(gen->arena, struct tn_expr);
    *expr = (struct tn_expr){.kind = TN_E_AND,
                             .type = tn_type_of(TN_K_BOOLEAN),
                             .rules = TN_RULES_QUERY,
                             .args_count = 2};
    expr->args = TN_ARENA_ARRAY(gen->arena, struct tn_expr *, 2);
    expr->args[0] = a;
    expr->args[1] = b;
    return expr;
}

/* Give `term` to the slot below `rel` that it concerns, if no outer join is in between. */
static bool move_term(struct tni_gen *gen, const struct tn_rel *rel, int number,
                      struct tn_expr *term)
{
    if (rel->kind == TN_REL_JOIN) {
        bool to_left = rel->join != TN_RJ_RIGHT && rel->join != TN_RJ_FULL;
        bool to_right = rel->join != TN_RJ_LEFT && rel->join != TN_RJ_FULL;
        return (to_left && move_term(gen, rel->left, number, term)) ||
               (to_right && move_term(gen, rel->right, number, term));
    }
    struct tni_gen_rel *target = &gen->rels[rel->number];
    if (rel->number != number || !target->is_slot)
        return false;
    struct tn_expr *moved;
    if (tn_failed(tni_expr_map(term, to_slot_node, gen, gen->arena, &moved)))
        return false;
    target->filter = and_of(gen, target->filter, moved);
    return true;
}

static bool is_one_rel(struct tn_expr *const *terms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (rel_of(terms[i]) < 0 || rel_of(terms[i]) != rel_of(terms[0]))
            return false;
    return true;
}

/* Terms that stay in the text. When they concern one relation and some can fail, AND must choose
 * whose errors survive: then they are evaluated as one expression. */
static enum tn_status gen_kept(struct tni_gen *gen, struct tn_expr *const *terms, uint32_t count,
                               const char *prefix, struct tni_rope *rope)
{
    struct tn_expr *all = NULL;
    bool is_exact = true;
    for (uint32_t i = 0; i < count; i++) {
        is_exact = is_exact && tni_gen_is_exact(gen, terms[i]);
        all = and_of(gen, all, terms[i]);
    }
    if (!is_exact && count > 1 && is_one_rel(terms, count)) {
        tni_rope_text(gen, rope, prefix);
        return tni_gen_expr(gen, all, rope);
    }
    for (uint32_t i = 0; i < count; i++) {
        tni_rope_text(gen, rope, prefix);
        prefix = " AND ";
        TN_TRY(tni_gen_cond(gen, terms[i], rope));
    }
    return TN_OK;
}

/* Writes the terms of a condition that did not move; `below` lists the relations it may move to. */
static enum tn_status gen_terms(struct tni_gen *gen, struct tn_expr *cond,
                                const struct tn_rel *const *below, uint32_t below_count,
                                const char *prefix, struct tni_rope *rope)
{
    struct tn_expr *terms[TERMS_MAX];
    uint32_t count = tni_terms(cond, terms, TERMS_MAX), kept = 0;
    if (count == 0) {
        terms[0] = cond;
        count = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_moved = false;
        int rel = gen->ctx->is_pushdown_off ? -1 : rel_of(terms[i]);
        for (uint32_t k = 0; rel >= 0 && k < below_count && !is_moved; k++)
            is_moved = move_term(gen, below[k], rel, terms[i]);
        if (!is_moved)
            terms[kept++] = terms[i];
    }
    return gen_kept(gen, terms, kept, prefix, rope);
}

/* ---- FROM ---- */

static void register_rel(struct tni_gen *gen, const struct tn_rel *rel, bool is_stable)
{
    if (rel->kind == TN_REL_JOIN) {
        is_stable = is_stable || rel->join == TN_RJ_RIGHT || rel->join == TN_RJ_FULL;
        register_rel(gen, rel->left, is_stable);
        register_rel(gen, rel->right, is_stable);
        return;
    }
    if (rel->kind == TN_REL_NONE)
        return;
    TN_ASSERT(rel->number >= 0 && rel->number < gen->rels_count);
    struct tni_gen_rel *entry = &gen->rels[rel->number];
    entry->rel = rel;
    entry->used = TN_ARENA_ARRAY(gen->arena, bool, rel->schema->fields_count + TNI_TSCAN_PSEUDOS);
    entry->is_stable = is_stable;
    entry->is_slot = rel->kind == TN_REL_TABLE;
}

/* Is the derived table within the native shape? The plan is made again when it runs. */
static bool is_native(struct tni_gen *gen, const struct tn_query *query)
{
    struct tni_op *op;
    const char *why;
    struct tn_err ignored = TN_ERR_INIT;
    if (!gen->is_native_derived || tn_failed(tni_native_plan(gen->ctx, query, &op, &why, &ignored)))
        return false;
    tni_op_close(op);
    return true;
}

static void mark_slots(struct tni_gen *gen, const struct tn_rel *rel)
{
    if (rel->kind == TN_REL_JOIN) {
        mark_slots(gen, rel->left);
        mark_slots(gen, rel->right);
    } else if (rel->kind == TN_REL_QUERY) {
        gen->rels[rel->number].is_slot = is_native(gen, rel->query);
    }
}

int tni_slot_width(const struct tni_slot *slot)
{
    uint32_t count = slot->schema->fields_count;
    return count <= 16 ? 16 : count <= 64 ? 64 : 300;
}

static enum tn_status gen_slot(struct tni_gen *gen, const struct tni_slot *slot, uint32_t *ret_slot)
{
    if (slot->schema->fields_count > 300)
        return tn_err_at(gen->err, TN_E_LIMIT, "EXCEEDED_COLUMNS_LIMIT", 0, 0,
                         "relation has more than %d columns", 300 - TNI_TSCAN_PSEUDOS);
    if (gen->slots_count == gen->slots_cap)
        gen->slots =
            tni_gen_grow(gen, gen->slots, gen->slots_count, &gen->slots_cap, sizeof *gen->slots);
    *ret_slot = gen->slots_count;
    gen->slots[gen->slots_count++] = *slot;
    return TN_OK;
}

static enum tn_status gen_table(struct tni_gen *gen, const struct tn_rel *rel,
                                struct tni_rope *rope)
{
    const struct tni_gen_rel *entry = &gen->rels[rel->number];
    struct tni_slot slot = {.rel = rel->number,
                            .object = rel->object,
                            .used = entry->used,
                            .filter = entry->filter,
                            .is_stable = entry->is_stable};
    slot.schema = tni_tscan_schema(rel->object, gen->arena);
    slot.rows_estimate = tni_tscan_rows_estimate(gen->ctx, rel->object);
    if (slot.filter)
        slot.rows_estimate = slot.rows_estimate / 4 + 1;
    uint32_t number;
    TN_TRY(gen_slot(gen, &slot, &number));
    tni_rope_printf(gen, rope, "v%" PRIu32 "_%d AS r%d", number, tni_slot_width(&slot),
                    rel->number);
    return TN_OK;
}

static enum tn_status gen_values(struct tni_gen *gen, const struct tn_rel *rel,
                                 struct tni_rope *rope)
{
    uint32_t columns = rel->schema->fields_count;
    tni_rope_text(gen, rope, "(SELECT ");
    for (uint32_t k = 0; k < columns; k++)
        tni_rope_printf(gen, rope, "%scolumn%" PRIu32 " AS c%" PRIu32, k ? ", " : "", k + 1, k);
    tni_rope_text(gen, rope, rel->rows_count ? " FROM (VALUES " : " FROM (SELECT ");
    for (uint32_t i = 0; i < rel->rows_count; i++) {
        tni_rope_text(gen, rope, i ? ", (" : "(");
        for (uint32_t k = 0; k < columns; k++) {
            tni_rope_text(gen, rope, k ? ", " : "");
            TN_TRY(tni_gen_expr(gen, rel->rows[i][k], rope));
        }
        tni_rope_text(gen, rope, ")");
    }
    for (uint32_t k = 0; !rel->rows_count && k < columns; k++)
        tni_rope_printf(gen, rope, "%sNULL AS column%" PRIu32, k ? ", " : "", k + 1);
    tni_rope_printf(gen, rope, "%s)) AS r%d", rel->rows_count ? "" : " WHERE 0", rel->number);
    return TN_OK;
}

static enum tn_status gen_rel(struct tni_gen *gen, const struct tn_rel *rel, struct tni_rope *rope);

static enum tn_status gen_join(struct tni_gen *gen, const struct tn_rel *rel, struct tni_rope *rope)
{
    static const char *const spellings[] = {
        [TN_RJ_INNER] = " JOIN ",     [TN_RJ_LEFT] = " LEFT JOIN ", [TN_RJ_RIGHT] = " RIGHT JOIN ",
        [TN_RJ_FULL] = " FULL JOIN ", [TN_RJ_CROSS] = " JOIN ", /* SQLite's CROSS JOIN would forbid
                                                                   another order */
    };
    const struct tn_rel *below[2] = {rel->left, rel->right};
    uint32_t first = 0, count = 2;
    if (rel->join == TN_RJ_LEFT)
        first = count = 1;
    else if (rel->join == TN_RJ_RIGHT)
        count = 1;
    else if (rel->join == TN_RJ_FULL)
        count = 0;
    struct tni_rope *on = new_rope(gen);
    if (rel->on)
        TN_TRY(gen_terms(gen, rel->on, below + first, count, " ON ", on));
    if (!on->head && rel->join != TN_RJ_INNER && rel->join != TN_RJ_CROSS)
        tni_rope_text(gen, on, " ON 1");
    TN_TRY(gen_rel(gen, rel->left, rope));
    tni_rope_text(gen, rope, spellings[rel->join]);
    bool is_nested = rel->right->kind == TN_REL_JOIN;
    tni_rope_text(gen, rope, is_nested ? "(" : "");
    TN_TRY(gen_rel(gen, rel->right, rope));
    tni_rope_text(gen, rope, is_nested ? ")" : "");
    tni_rope_rope(gen, rope, on);
    return TN_OK;
}

/* The query with NULL for the columns that nobody reads, so that they are not computed. */
static const struct tn_query *prune(struct tni_gen *gen, const struct tn_query *query,
                                    const bool *used)
{
    if (query->op != TN_SET_NONE || query->select->is_distinct)
        return query;
    struct tn_query *pruned = TN_ARENA_NEW(gen->arena, struct tn_query);
    struct tn_select *select = TN_ARENA_NEW(gen->arena, struct tn_select);
    *pruned = *query;
    *select = *query->select;
    select->items = TN_ARENA_ARRAY(gen->arena, struct tn_select_item, select->items_count + 1u);
    for (uint32_t i = 0; i < select->items_count; i++) {
        bool is_sorted = false; /* ORDER BY names it */
        for (uint32_t k = 0; k < query->sorts_count; k++)
            is_sorted = is_sorted || query->sorts[k].output == (int)i;
        select->items[i] = query->select->items[i];
        if (used[i] || is_sorted)
            continue;
        struct tn_expr *expr = TN_ARENA_NEW(gen->arena, struct tn_expr);
        *expr = (struct tn_expr){.kind = TN_E_CONST, .type = select->items[i].expr->type};
        expr->value = (struct tn_value){.type = expr->type, .is_null = true};
        select->items[i].expr = expr;
    }
    pruned->select = select;
    return pruned;
}

static enum tn_status gen_query_rel(struct tni_gen *gen, const struct tn_rel *rel,
                                    struct tni_rope *rope)
{
    const struct tni_gen_rel *entry = &gen->rels[rel->number];
    if (entry->is_slot) {
        struct tni_slot slot = {.rel = rel->number,
                                .query = prune(gen, rel->query, entry->used),
                                .schema = rel->schema,
                                .used = entry->used,
                                .filter = entry->filter,
                                .is_stable = entry->is_stable,
                                .rows_estimate = 1000};
        uint32_t number;
        TN_TRY(gen_slot(gen, &slot, &number));
        tni_rope_printf(gen, rope, "v%" PRIu32 "_%d AS r%d", number, tni_slot_width(&slot),
                        rel->number);
        return TN_OK;
    }
    tni_rope_text(gen, rope, "(");
    TN_TRY(tni_gen_select(gen, rel->query, entry->used, rope));
    tni_rope_printf(gen, rope, ") AS r%d", rel->number);
    return TN_OK;
}

static enum tn_status gen_rel(struct tni_gen *gen, const struct tn_rel *rel, struct tni_rope *rope)
{
    enum tn_status st;
    TN_TRY(tni_gen_enter(gen));
    switch (rel->kind) {
    case TN_REL_TABLE: st = gen_table(gen, rel, rope); break;
    case TN_REL_QUERY: st = gen_query_rel(gen, rel, rope); break;
    case TN_REL_VALUES: st = gen_values(gen, rel, rope); break;
    case TN_REL_JOIN: st = gen_join(gen, rel, rope); break;
    default: st = TN_OK; break;
    }
    tni_gen_leave(gen);
    return st;
}

static enum tn_status gen_from(struct tni_gen *gen, const struct tn_rel *rel, struct tni_rope *rope)
{
    if (rel->kind == TN_REL_NONE)
        return TN_OK;
    tni_rope_text(gen, rope, " FROM ");
    return gen_rel(gen, rel, rope);
}

/* ---- SELECT ---- */

/* "item AS c0, …"; NULL for those that nothing reads. */
static enum tn_status gen_items(struct tni_gen *gen, const struct tn_select *select,
                                const bool *used, struct tni_rope *rope)
{
    tni_rope_text(gen, rope, select->is_distinct ? "SELECT DISTINCT " : "SELECT ");
    for (uint32_t i = 0; i < select->items_count; i++) {
        tni_rope_text(gen, rope, i ? ", " : "");
        if (used && !used[i] && !select->is_distinct)
            tni_rope_text(gen, rope, "NULL");
        else
            TN_TRY(tni_gen_expr(gen, select->items[i].expr, rope));
        tni_rope_printf(gen, rope, " AS c%" PRIu32, i);
    }
    return TN_OK;
}

/* Item that a sort expression repeats, −1 = none. */
static int find_item(const struct tn_select *select, const struct tn_expr *expr)
{
    for (uint32_t i = 0; i < select->items_count; i++)
        if (select->items[i].expr == expr || tn_expr_eq(select->items[i].expr, expr))
            return (int)i;
    return -1;
}

static enum tn_status gen_order(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                                struct tni_rope *rope)
{
    const struct tn_select *select = query->select;
    for (uint32_t i = 0; i < query->sorts_count; i++) {
        const struct tn_sort_item *sort = &query->sorts[i];
        int output = sort->output;
        tni_rope_text(gen, rope, i ? ", " : " ORDER BY ");
        if (output < 0 && select->is_distinct)
            output = find_item(select, sort->expr);
        bool is_there = output >= 0 && (!used || used[output] || select->is_distinct);
        if (is_there)
            tni_rope_printf(gen, rope, "%d", output + 1);
        else
            TN_TRY(tni_gen_expr(gen, output >= 0 ? select->items[output].expr : sort->expr, rope));
        tni_gen_direction(gen, sort, rope);
    }
    return TN_OK;
}

static void gen_limit(struct tni_gen *gen, const struct tn_query *query, struct tni_rope *rope)
{
    if (query->limit >= 0 || query->offset > 0)
        tni_rope_printf(gen, rope, " LIMIT %" PRId64, query->limit);
    if (query->offset > 0)
        tni_rope_printf(gen, rope, " OFFSET %" PRId64, query->offset);
}

static enum tn_status gen_where(struct tni_gen *gen, const struct tn_select *select,
                                struct tni_rope *rope)
{
    if (!select->where)
        return TN_OK;
    const struct tn_rel *below[1] = {select->from};
    uint32_t count = select->from->kind != TN_REL_NONE;
    return gen_terms(gen, select->where, below, count, " WHERE ", rope);
}

static enum tn_status gen_plain(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                                struct tni_rope *rope)
{
    const struct tn_select *select = query->select;
    struct tni_rope *from = new_rope(gen), *where = new_rope(gen);
    TN_TRY(gen_items(gen, select, used, rope));
    tni_rope_rope(gen, rope, from);
    tni_rope_rope(gen, rope, where);
    TN_TRY(gen_order(gen, query, used, rope));
    gen_limit(gen, query, rope);
    TN_TRY(gen_where(gen, select, where));
    return gen_from(gen, select->from, from);
}

/* SELECT groups AS c0 …, aggregates AS c<n> … FROM … GROUP BY 1, … */
static enum tn_status gen_grouping(struct tni_gen *gen, const struct tn_select *select,
                                   const struct tni_gen_scope *scope, struct tni_rope *rope)
{
    struct tni_rope *from = new_rope(gen);
    uint32_t column = 0;
    tni_rope_text(gen, rope, "SELECT ");
    for (uint32_t i = 0; i < select->groups_count; i++) {
        tni_rope_text(gen, rope, column ? ", " : "");
        TN_TRY(tni_gen_expr(gen, select->groups[i], rope));
        tni_rope_printf(gen, rope, " AS c%" PRIu32, column++);
    }
    for (uint32_t i = 0; i < scope->aggs_count; i++) {
        tni_rope_text(gen, rope, column ? ", " : "");
        TN_TRY(tni_gen_agg(gen, scope->aggs[i], rope));
        tni_rope_printf(gen, rope, " AS c%" PRIu32, column++);
    }
    if (select->groups_count == 0 && scope->aggs_count == 0)
        tni_rope_text(gen, rope, "count(*) AS c0"); /* one row, whatever the input */
    tni_rope_rope(gen, rope, from);
    TN_TRY(gen_where(gen, select, rope));
    for (uint32_t i = 0; i < select->groups_count; i++)
        tni_rope_printf(gen, rope, "%s%" PRIu32, i ? ", " : " GROUP BY ", i + 1);
    return gen_from(gen, select->from, from);
}

static enum tn_status gen_grouped(struct tni_gen *gen, const struct tn_query *query,
                                  const bool *used, struct tni_rope *rope)
{
    const struct tn_select *select = query->select;
    struct tni_gen_scope scope = {.outer = gen->scope,
                                  .number = gen->queries_count++,
                                  .groups_count = select->groups_count,
                                  .groups = select->groups};
    for (uint32_t i = 0; i < select->items_count; i++)
        tni_gen_collect(gen, &scope, select->items[i].expr);
    tni_gen_collect(gen, &scope, select->having);
    for (uint32_t i = 0; i < query->sorts_count; i++)
        tni_gen_collect(gen, &scope, query->sorts[i].expr);
    struct tni_rope *inner = new_rope(gen);
    gen->scope = &scope;
    enum tn_status st = TN_OK;
    TN_GOTO(gen_items(gen, select, used, rope));
    tni_rope_text(gen, rope, " FROM (");
    tni_rope_rope(gen, rope, inner);
    tni_rope_printf(gen, rope, ") AS q%d", scope.number);
    if (select->having) {
        tni_rope_text(gen, rope, " WHERE ");
        TN_GOTO(tni_gen_cond(gen, select->having, rope));
    }
    TN_GOTO(gen_order(gen, query, used, rope));
    gen_limit(gen, query, rope);
    gen->scope = scope.outer;
    return gen_grouping(gen, select, &scope, inner);
fail:
    gen->scope = scope.outer;
    return st;
}

/* SELECT * FROM (left) UNION … SELECT * FROM (right), and around it order and limit. */
static enum tn_status gen_set(struct tni_gen *gen, const struct tn_query *query,
                              struct tni_rope *rope)
{
    static const char *const spellings[] = {
        [TN_SET_UNION_ALL] = ") UNION ALL SELECT * FROM (",
        [TN_SET_UNION] = ") UNION SELECT * FROM (",
        [TN_SET_INTERSECT] = ") INTERSECT SELECT * FROM (",
        [TN_SET_EXCEPT] = ") EXCEPT SELECT * FROM (",
    };
    bool is_wrapped = query->sorts_count > 0 || query->limit >= 0 || query->offset > 0;
    tni_rope_text(gen, rope, is_wrapped ? "SELECT * FROM (SELECT * FROM (" : "SELECT * FROM (");
    TN_TRY(tni_gen_derived(gen, query->left, NULL, rope));
    tni_rope_text(gen, rope, spellings[query->op]);
    TN_TRY(tni_gen_derived(gen, query->right, NULL, rope));
    tni_rope_text(gen, rope, is_wrapped ? "))" : ")");
    for (uint32_t i = 0; i < query->sorts_count; i++) {
        if (query->sorts[i].output < 0)
            return tn_err_at(gen->err, TN_E_UNSUPPORTED, NULL, 0, 0,
                             "ORDER BY of a set operation must name an output column");
        tni_rope_printf(gen, rope, "%s%d", i ? ", " : " ORDER BY ", query->sorts[i].output + 1);
        tni_gen_direction(gen, &query->sorts[i], rope);
    }
    gen_limit(gen, query, rope);
    return TN_OK;
}

enum tn_status tni_gen_select(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                              struct tni_rope *rope)
{
    enum tn_status st;
    TN_TRY(tni_gen_enter(gen));
    if (query->op != TN_SET_NONE) {
        st = gen_set(gen, query, rope);
    } else {
        register_rel(gen, query->select->from, false);
        mark_slots(gen, query->select->from);
        st = query->select->is_grouped ? gen_grouped(gen, query, used, rope)
                                       : gen_plain(gen, query, used, rope);
    }
    tni_gen_leave(gen);
    return st;
}

enum tn_status tni_gen_derived(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                               struct tni_rope *rope)
{
    if (!is_native(gen, query))
        return tni_gen_select(gen, query, used, rope);
    uint32_t columns = query->schema->fields_count;
    struct tni_slot slot = {.rel = -1,
                            .query = query,
                            .schema = query->schema,
                            .used = TN_ARENA_ARRAY(gen->arena, bool, columns + 1),
                            .rows_estimate = 1000};
    uint32_t number;
    TN_TRY(gen_slot(gen, &slot, &number));
    tni_rope_text(gen, rope, "SELECT ");
    for (uint32_t i = 0; i < columns; i++) {
        slot.used[i] = true;
        tni_rope_printf(gen, rope, "%sc%" PRIu32, i ? ", " : "", i);
    }
    tni_rope_printf(gen, rope, " FROM v%" PRIu32 "_%d", number, tni_slot_width(&slot));
    return TN_OK;
}

enum tn_status tni_gen_query(struct tni_exec_ctx *ctx, const struct tn_query *query,
                             struct tni_gen *gen, struct tn_err *err)
{
    *gen = (struct tni_gen){.ctx = ctx, .arena = ctx->arena, .err = err};
    gen->rels_count = query->rels_count;
    gen->rels = TN_ARENA_ARRAY(gen->arena, struct tni_gen_rel, (size_t)query->rels_count + 1);
    gen->is_native_derived = ctx->executor == TNI_EXEC_AUTO;
    tn_buf_init(&gen->sql, (size_t)4 << 20);
    struct tni_rope *rope = new_rope(gen);
    TN_TRY(tni_gen_select(gen, query, NULL, rope));
    tni_rope_flatten(rope, &gen->sql);
    if (tn_buf_over(&gen->sql))
        return tn_err_at(err, TN_E_LIMIT, "QUERY_TEXT_TOO_LARGE", 0, 0,
                         "query is too large to be planned");
    return TN_OK;
}

void tni_gen_release(struct tni_gen *gen)
{
    tn_buf_release(&gen->sql);
}
