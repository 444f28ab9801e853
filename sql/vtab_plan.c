/* Plans of virtual tables: which constraints a table applies, and what that costs. Contract:
 * sql/vtab_int.h; the text of a plan: vtab.c. */
#include "sql/vtab_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "stream/base/mem.h"

struct plan {
    char text[TESTS_MAX * 8];
    size_t len;
    int args_count;
    uint32_t equals_count;
    int equals[EQUALS_MAX]; /* slot columns */
    uint32_t ranges_count;
    bool has_in;
};

static char plan_op(unsigned char op)
{
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return '=';
    case SQLITE_INDEX_CONSTRAINT_LT: return '<';
    case SQLITE_INDEX_CONSTRAINT_LE: return 'l';
    case SQLITE_INDEX_CONSTRAINT_GT: return '>';
    case SQLITE_INDEX_CONSTRAINT_GE: return 'g';
    default: return 0;
    }
}

static bool is_comparable(const struct tn_type *type)
{
    return !tn_kind_is_nested(type->kind) && type->kind != TN_K_NULL && type->kind != TN_K_JSON;
}

static bool has_equal(const struct plan *plan, int column)
{
    for (uint32_t i = 0; i < plan->equals_count; i++)
        if (plan->equals[i] == column)
            return true;
    return false;
}

static void plan_constraint(const struct tni_vslot *vs, sqlite3_index_info *info, int i,
                            struct plan *plan)
{
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
    int column = constraint->iColumn;
    char op = plan_op(constraint->op);
    if (!constraint->usable || !op || column < 0 || plan->args_count == TESTS_MAX ||
        (uint32_t)column >= vs->slot->schema->fields_count || vs->kept_of[column] < 0 ||
        !is_comparable(vs->slot->schema->fields[column].type) ||
        strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
        return;
    if (op == '=' && (has_equal(plan, column) || plan->equals_count == EQUALS_MAX))
        return; /* SQLite checks it */
    if (op == '=') {
        plan->equals[plan->equals_count++] = column;
        if (sqlite3_vtab_in(info, i, -1) && sqlite3_vtab_in(info, i, 1)) {
            op = '@';
            plan->has_in = true;
        }
    } else {
        plan->ranges_count++;
    }
    plan->len += (size_t)snprintf(plan->text + plan->len, sizeof plan->text - plan->len, "%c%d,",
                                  op, column);
    info->aConstraintUsage[i].argvIndex = ++plan->args_count;
    info->aConstraintUsage[i].omit = 1;
}

static bool covers_key(const struct tni_vslot *vs, const struct plan *plan)
{
    for (uint32_t i = 0; i < vs->keys_count; i++)
        if (!has_equal(plan, vs->key_columns[i]))
            return false;
    return vs->keys_count > 0;
}

static void plan_cost(const struct tni_vslot *vs, const struct plan *plan, sqlite3_index_info *info)
{
    double rows = vs->slot->rows_estimate > 1 ? (double)vs->slot->rows_estimate : 1;
    if (plan->equals_count) {
        double found = plan->equals_count > 1 ? rows / 1000 : rows / 50;
        bool is_unique = covers_key(vs, plan) && !plan->has_in &&
                         vs->slot->object->decl.window == TN_WINDOW_NONE;
        if (is_unique) {
            info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
            found = 1;
        } else if (plan->has_in) {
            found *= 10;
        }
        info->estimatedRows = (sqlite3_int64)found + 1;
        info->estimatedCost = 2 + found;
        return;
    }
    double found = rows;
    for (uint32_t i = 0; i < plan->ranges_count; i++)
        found /= 3;
    info->estimatedRows = (sqlite3_int64)found + 1;
    info->estimatedCost = 10 + rows;
}

int tni_vtable_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct tni_vslot *vs = tni_vtable_slot((struct tni_vtable *)base);
    struct plan plan = {.len = 0};
    for (int i = 0; i < info->nConstraint; i++)
        plan_constraint(vs, info, i, &plan);
    plan_cost(vs, &plan, info);
    info->idxNum = plan.equals_count > 0;
    info->idxStr = sqlite3_mprintf("%s", plan.len ? plan.text : "");
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}
