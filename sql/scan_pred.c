/* Predicates: what a condition implies about single columns, and what that means for keys, windows
 * and offsets.
 *
 * Only implied facts are taken: a predicate may be weaker than the condition, never stronger, so
 * scans that use it return at least the wanted rows. Seen: column op constant (either side, through
 * INTEGER → BIGINT widening), IN with constants, BETWEEN, ORs of equalities on one column, LIKE
 * with a fixed prefix. DOUBLE columns give none: NaN and −0.0 make their order and equality differ
 * from those of keys.
 *
 * Ownership: results live in the arena given. @thread any */
#include "sql/scan_int.h"

#include <stdlib.h>

#include "stream/func.h"

struct pred_list {
    const struct tn_object *object;
    int rel;
    struct tn_arena *arena;
    struct tni_pred *preds;
    uint32_t count;
};

uint32_t tni_terms(struct tn_expr *where, struct tn_expr **ret_terms, uint32_t terms_max)
{
    if (where->kind != TN_E_AND) {
        if (terms_max < 1)
            return 0;
        ret_terms[0] = where;
        return 1;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < where->args_count; i++) {
        uint32_t more = tni_terms(where->args[i], ret_terms + count, terms_max - count);
        if (!more)
            return 0;
        count += more;
    }
    return count;
}

/* ---- recognising ---- */

static bool is_call(const struct tn_expr *expr, const char *name)
{
    return expr->kind == TN_E_CALL && strcmp(expr->func->name, name) == 0;
}

/* Scan column that `expr` is, −1 when it is something else. Widened INTEGER columns set
 * *ret_widened. */
static int column_of(const struct pred_list *list, const struct tn_expr *expr, bool *ret_widened)
{
    *ret_widened = false;
    if (is_call(expr, "cast") && expr->type->kind == TN_K_BIGINT &&
        expr->args[0]->type->kind == TN_K_INTEGER) {
        *ret_widened = true;
        expr = expr->args[0];
    }
    if (expr->type->kind == TN_K_DOUBLE || expr->rel != list->rel)
        return -1;
    if (expr->kind == TN_E_COLUMN)
        return expr->column;
    if (expr->kind == TN_E_PSEUDO)
        return tni_tscan_pseudo(list->object, (enum tn_pseudo)expr->column);
    return -1;
}

static struct tni_pred *add_pred(struct pred_list *list, int column)
{
    if (list->count == TNI_TSCAN_PREDS_MAX)
        return NULL;
    struct tni_pred *pred = &list->preds[list->count++];
    *pred = (struct tni_pred){.column = column};
    return pred;
}

/* The constant as a value of the column: false when the column can never equal it (widened
 * INTEGER). */
static bool fit_value(const struct tn_value *value, bool is_widened, struct tn_value *ret_value)
{
    *ret_value = *value;
    if (!is_widened || value->is_null)
        return true;
    ret_value->type = tn_type_of(TN_K_INTEGER);
    return value->i >= INT32_MIN && value->i <= INT32_MAX;
}

static const struct tn_value *keep_value(struct pred_list *list, struct tn_value value)
{
    struct tn_value *copy = TN_ARENA_NEW(list->arena, struct tn_value);
    *copy = value;
    return copy;
}

enum cmp { CMP_NONE, CMP_EQ, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

static enum cmp cmp_of(const struct tn_expr *expr)
{
    static const struct {
        const char *name;
        enum cmp cmp;
    } rows[] = {{"=", CMP_EQ}, {"<", CMP_LT}, {"<=", CMP_LE}, {">", CMP_GT}, {">=", CMP_GE}};
    if (expr->kind != TN_E_CALL || expr->args_count != 2)
        return CMP_NONE;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(expr->func->name, rows[i].name) == 0)
            return rows[i].cmp;
    return CMP_NONE;
}

static enum cmp cmp_flip(enum cmp cmp)
{
    switch (cmp) {
    case CMP_LT: return CMP_GT;
    case CMP_LE: return CMP_GE;
    case CMP_GT: return CMP_LT;
    case CMP_GE: return CMP_LE;
    case CMP_EQ:
    case CMP_NONE: break;
    }
    return cmp;
}

/* A bound outside the 32-bit range excludes every row or none. */
static void set_bound(struct pred_list *list, struct tni_pred *pred, enum cmp cmp,
                      const struct tn_value *value, bool is_widened)
{
    struct tn_value fitted;
    bool fits = fit_value(value, is_widened, &fitted);
    bool is_low = cmp == CMP_GT || cmp == CMP_GE;
    if (!fits) {
        pred->is_none = is_low == (value->i > 0);
        return;
    }
    if (is_low) {
        pred->low = keep_value(list, fitted);
        pred->is_low_strict = cmp == CMP_GT;
    } else {
        pred->high = keep_value(list, fitted);
        pred->is_high_strict = cmp == CMP_LT;
    }
}

static void add_compare(struct pred_list *list, const struct tn_expr *expr)
{
    enum cmp cmp = cmp_of(expr);
    const struct tn_expr *left = expr->args[0], *right = expr->args[1];
    if (left->kind == TN_E_CONST) {
        left = expr->args[1];
        right = expr->args[0];
        cmp = cmp_flip(cmp);
    }
    bool is_widened;
    int column = right->kind == TN_E_CONST ? column_of(list, left, &is_widened) : -1;
    if (column < 0 || !tn_type_eq(left->type, right->type))
        return;
    struct tni_pred *pred = add_pred(list, column);
    if (!pred)
        return;
    if (right->value.is_null) {
        pred->is_none = true;
    } else if (cmp == CMP_EQ) {
        struct tn_value fitted;
        pred->is_none = !fit_value(&right->value, is_widened, &fitted);
        pred->values = keep_value(list, fitted);
        pred->values_count = !pred->is_none;
    } else {
        set_bound(list, pred, cmp, &right->value, is_widened);
    }
}

static int value_order(const void *a, const void *b)
{
    return tn_value_cmp(a, b);
}

/* Sorted, without repeats: a key must not be looked up twice. */
static void set_values(struct tni_pred *pred, struct tn_value *values, uint32_t count)
{
    if (count > 1)
        qsort(values, count, sizeof *values, value_order);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!kept || tn_value_cmp(&values[kept - 1], &values[i]) != 0)
            values[kept++] = values[i];
    pred->values = values;
    pred->values_count = kept;
    pred->is_none = kept == 0;
}

static void add_in(struct pred_list *list, const struct tn_expr *expr)
{
    bool is_widened;
    int column = expr->is_flag ? -1 : column_of(list, expr->args[0], &is_widened);
    if (column < 0)
        return;
    struct tn_value *values = TN_ARENA_ARRAY(list->arena, struct tn_value, expr->args_count);
    uint32_t count = 0;
    for (uint32_t i = 1; i < expr->args_count; i++) {
        const struct tn_expr *arg = expr->args[i];
        if (arg->kind != TN_E_CONST || !tn_type_eq(arg->type, expr->args[0]->type))
            return;
        if (!arg->value.is_null && fit_value(&arg->value, is_widened, &values[count]))
            count++;
    }
    struct tni_pred *pred = add_pred(list, column);
    if (pred)
        set_values(pred, values, count);
}

/* k = 1 OR k = 2 OR k IN (3, 4): the arms' own predicates, merged. */
static void add_or(struct pred_list *list, const struct tn_expr *expr);

static void add_between(struct pred_list *list, const struct tn_expr *expr)
{
    bool is_widened;
    int column = column_of(list, expr->args[0], &is_widened);
    if (column < 0 || expr->args_count != 3)
        return;
    for (uint32_t i = 1; i <= 2; i++) {
        const struct tn_expr *arg = expr->args[i];
        if (arg->kind != TN_E_CONST || !tn_type_eq(arg->type, expr->args[0]->type))
            continue;
        struct tni_pred *pred = add_pred(list, column);
        if (!pred)
            return;
        if (arg->value.is_null)
            pred->is_none = true;
        else
            set_bound(list, pred, i == 1 ? CMP_GE : CMP_LE, &arg->value, is_widened);
    }
}

/* LIKE 'abc%': 'abc' ≤ column < 'abd'. */
static void add_like(struct pred_list *list, const struct tn_expr *expr)
{
    bool is_widened;
    int column = column_of(list, expr->args[0], &is_widened);
    if (column < 0 || expr->args_count < 2 || expr->args[0]->type->kind != TN_K_VARCHAR)
        return;
    for (uint32_t i = 1; i < expr->args_count; i++)
        if (expr->args[i]->kind != TN_E_CONST || expr->args[i]->value.is_null)
            return;
    struct tn_str pattern = expr->args[1]->value.s;
    char escape = expr->args_count > 2 && expr->args[2]->value.s.len == 1
                      ? expr->args[2]->value.s.ptr[0]
                      : '\\';
    size_t len = 0;
    while (len < pattern.len && pattern.ptr[len] != '%' && pattern.ptr[len] != '_' &&
           pattern.ptr[len] != escape)
        len++;
    struct tni_pred *pred = len ? add_pred(list, column) : NULL;
    if (!pred)
        return;
    struct tn_value low = expr->args[1]->value;
    low.s.len = len;
    pred->low = keep_value(list, low);
    struct tn_value high = low;
    high.s = tn_arena_str(list->arena, low.s);
    unsigned char *last = (unsigned char *)high.s.ptr + len - 1;
    if (*last == 0xff)
        return;
    (*last)++;
    pred->high = keep_value(list, high);
    pred->is_high_strict = true;
}

static void add_term(struct pred_list *list, const struct tn_expr *expr)
{
    bool is_guarded = expr->kind == TN_E_CASE && expr->args_count == 2; /* WHEN a THEN b: both */
    if (expr->kind == TN_E_AND || is_guarded) {
        for (uint32_t i = 0; i < expr->args_count; i++)
            add_term(list, expr->args[i]);
    } else if (expr->kind == TN_E_OR) {
        add_or(list, expr);
    } else if (expr->kind == TN_E_IN) {
        add_in(list, expr);
    } else if (cmp_of(expr) != CMP_NONE) {
        add_compare(list, expr);
    } else if (is_call(expr, "between")) {
        add_between(list, expr);
    } else if (is_call(expr, "like")) {
        add_like(list, expr);
    }
}

static void add_or(struct pred_list *list, const struct tn_expr *expr)
{
    struct tni_pred arms[TNI_TSCAN_PREDS_MAX];
    uint32_t values_count = 0, arms_count = 0;
    if (expr->args_count > TNI_TSCAN_PREDS_MAX)
        return;
    for (uint32_t i = 0; i < expr->args_count; i++) {
        struct tni_pred one[TNI_TSCAN_PREDS_MAX];
        struct pred_list arm = {list->object, list->rel, list->arena, one, 0};
        if (expr->args[i]->kind == TN_E_AND)
            return;
        add_term(&arm, expr->args[i]);
        if (arm.count != 1 || (!one[0].values_count && !one[0].is_none))
            return;
        if (arms_count && one[0].column != arms[0].column)
            return;
        arms[arms_count++] = one[0];
        values_count += one[0].values_count;
    }
    struct tn_value *values = TN_ARENA_ARRAY(list->arena, struct tn_value, values_count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < arms_count; i++)
        for (uint32_t k = 0; k < arms[i].values_count; k++)
            values[count++] = arms[i].values[k];
    struct tni_pred *pred = arms_count ? add_pred(list, arms[0].column) : NULL;
    if (pred)
        set_values(pred, values, count);
}

void tni_preds_of(const struct tn_expr *where, int rel, const struct tn_object *object,
                  struct tn_arena *arena, struct tni_pred **ret_preds, uint32_t *ret_count)
{
    struct pred_list list = {object, rel, arena, NULL, 0};
    if (where) {
        list.preds = TN_ARENA_ARRAY(arena, struct tni_pred, TNI_TSCAN_PREDS_MAX);
        add_term(&list, where);
    }
    *ret_preds = list.preds;
    *ret_count = list.count;
}

/* Predicates that say what the term says; 0: none do. */
static uint32_t count_exact(const struct tn_expr *term)
{
    if (is_call(term, "between"))
        return 2;
    return cmp_of(term) != CMP_NONE || (term->kind == TN_E_IN && !term->is_flag);
}

bool tni_preds_say_all(struct tn_expr *where, uint32_t preds_count)
{
    struct tn_expr *terms[TNI_TSCAN_PREDS_MAX];
    uint32_t count = where ? tni_terms(where, terms, TNI_TSCAN_PREDS_MAX) : 0, said = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t exact = count_exact(terms[i]);
        if (!exact)
            return false;
        said += exact;
    }
    return (!where || count > 0) && said == preds_count;
}

/* ---- using ---- */

const struct tni_pred *tni_pred_find(const struct tni_tscan_spec *spec, int column,
                                     const struct tni_pred *after)
{
    uint32_t i = after ? (uint32_t)(after - spec->preds) + 1 : 0;
    for (; i < spec->preds_count; i++)
        if (spec->preds[i].column == column)
            return &spec->preds[i];
    return NULL;
}

bool tni_preds_i64(const struct tni_tscan_spec *spec, int column, int64_t *ret_low,
                   int64_t *ret_high)
{
    int64_t low = INT64_MIN, high = INT64_MAX;
    for (const struct tni_pred *pred = tni_pred_find(spec, column, NULL); pred;
         pred = tni_pred_find(spec, column, pred)) {
        int64_t from = INT64_MIN, to = INT64_MAX;
        if (pred->is_none)
            return false;
        if (pred->values_count) {
            from = pred->values[0].i;
            to = pred->values[pred->values_count - 1].i; /* sorted */
        }
        if (pred->low)
            from = pred->low->i + (pred->is_low_strict && pred->low->i < INT64_MAX);
        if (pred->high)
            to = pred->high->i - (pred->is_high_strict && pred->high->i > INT64_MIN);
        low = from > low ? from : low;
        high = to < high ? to : high;
    }
    *ret_low = low;
    *ret_high = high;
    return low <= high;
}

/* Scan column of a key column, −1 when the object does not show it. */
static int scan_column_of_key(const struct tn_object *object, uint32_t key)
{
    struct tn_str name = object->decl.schema->fields[key].name;
    if (key < object->schema->fields_count && tn_str_eq(object->schema->fields[key].name, name))
        return (int)key;
    for (uint32_t i = 0; i < object->schema->fields_count; i++)
        if (tn_str_eq(object->schema->fields[i].name, name))
            return (int)i;
    return -1;
}

static const struct tni_pred *equal_pred(const struct tni_tscan_spec *spec, uint32_t key)
{
    int column = scan_column_of_key(spec->object, key);
    const struct tni_pred *pred = column < 0 ? NULL : tni_pred_find(spec, column, NULL);
    const struct tni_pred *best = NULL;
    for (; pred; pred = tni_pred_find(spec, column, pred))
        if (pred->values_count && (!best || pred->values_count < best->values_count))
            best = pred;
    return best;
}

/* All combinations of the key columns' values. */
static void set_keys(const struct tni_tscan_spec *spec, struct tn_arena *arena,
                     struct tn_key_filter *filter)
{
    uint32_t columns_count = spec->object->decl.keys_count;
    const struct tni_pred **preds =
        TN_ARENA_ARRAY(arena, const struct tni_pred *, columns_count + 1);
    uint64_t total = columns_count ? 1 : 0;
    for (uint32_t i = 0; i < columns_count && total; i++) {
        preds[i] = equal_pred(spec, i);
        total = preds[i] ? total * preds[i]->values_count : 0;
        if (total > TNI_TSCAN_KEYS_MAX)
            total = 0;
    }
    if (!total)
        return;
    const struct tn_value **keys = TN_ARENA_ARRAY(arena, const struct tn_value *, total);
    for (uint64_t k = 0; k < total; k++) {
        struct tn_value *key = TN_ARENA_ARRAY(arena, struct tn_value, columns_count);
        uint64_t rest = k;
        for (uint32_t i = columns_count; i-- > 0;) {
            key[i] = preds[i]->values[rest % preds[i]->values_count];
            rest /= preds[i]->values_count;
        }
        keys[k] = key;
    }
    filter->keys_count = (uint32_t)total;
    filter->keys = keys;
}

static void set_range(const struct tni_tscan_spec *spec, struct tn_key_filter *filter)
{
    int column = spec->object->decl.keys_count ? scan_column_of_key(spec->object, 0) : -1;
    if (column < 0)
        return;
    for (const struct tni_pred *pred = tni_pred_find(spec, column, NULL); pred;
         pred = tni_pred_find(spec, column, pred)) {
        const struct tn_value *low = pred->low, *high = pred->high;
        if (pred->values_count) {
            low = &pred->values[0];
            high = &pred->values[pred->values_count - 1];
        }
        if (low && (!filter->low || tn_value_cmp(low, filter->low) > 0)) {
            filter->low = low;
            filter->is_low_strict = pred->is_low_strict;
        }
        if (high && (!filter->high || tn_value_cmp(high, filter->high) < 0)) {
            filter->high = high;
            filter->is_high_strict = pred->is_high_strict;
        }
    }
}

bool tni_tscan_key_filter(const struct tni_tscan_spec *spec, struct tn_arena *arena,
                          struct tn_key_filter *ret_filter)
{
    *ret_filter = (struct tn_key_filter){.window_from_ms = INT64_MIN, .window_to_ms = INT64_MAX};
    for (uint32_t i = 0; i < spec->preds_count; i++)
        if (spec->preds[i].is_none)
            return false;
    const struct tn_object *object = spec->object;
    if (object->decl.window != TN_WINDOW_NONE) {
        int64_t low, high;
        int columns[2] = {tni_tscan_pseudo(object, TN_PSEUDO_WINDOWSTART),
                          tn_schema_find(object->schema, TN_STR("WINDOWSTART"))};
        for (int i = 0; i < 2; i++) {
            if (columns[i] < 0)
                continue;
            if (!tni_preds_i64(spec, columns[i], &low, &high))
                return false;
            if (low > ret_filter->window_from_ms)
                ret_filter->window_from_ms = low;
            if (high < ret_filter->window_to_ms)
                ret_filter->window_to_ms = high;
        }
        if (ret_filter->window_from_ms > ret_filter->window_to_ms)
            return false;
    }
    set_keys(spec, arena, ret_filter);
    if (!ret_filter->keys_count)
        set_range(spec, ret_filter);
    return true;
}
