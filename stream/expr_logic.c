/* Steps that choose: AND, OR, NOT, CASE, COALESCE, IN. All operands have been evaluated for all
 * rows; these steps work on bitmaps, 64 rows at a time, and decide which operand gives the value of
 * a row and whose errors count. The rule is SQL's order from left to right: an operand behind the
 * deciding one is as if it had never been evaluated.
 *
 * Stream rules: a NULL operand of AND, OR and a NULL condition count as false, and IN never gives
 * NULL. Query rules: three-valued logic. @thread the running one */
#include "stream/base/hash.h"
#include "stream/expr_int.h"
#include "stream/func_int.h"

#define SET_MIN 2 /* a list of one constant is compared directly */

/* Word `at / 64` of a bitmap of a register: all ones or zeros when it is constant. NULL bitmap =
 * `absent`. */
static uint64_t word_of(const struct tni_reg *reg, const uint8_t *bits, uint32_t at, bool absent)
{
    uint64_t word;
    if (!bits)
        return absent ? UINT64_MAX : 0;
    if (reg->is_const)
        return tn_bit_get(bits, 0) ? UINT64_MAX : 0;
    memcpy(&word, bits + at / 8, 8);
    return word;
}

static uint64_t valid_word(const struct tni_reg *reg, uint32_t at)
{
    return word_of(reg, reg->col.validity, at, true);
}

static uint64_t error_word(const struct tni_reg *reg, uint32_t at)
{
    return word_of(reg, reg->errors, at, false);
}

/* NULL typed operands (the literal NULL) have no values. */
static uint64_t true_word(const struct tni_reg *reg, uint32_t at)
{
    if (reg->col.type->kind == TN_K_NULL)
        return 0;
    return word_of(reg, reg->col.values, at, false) & valid_word(reg, at);
}

static void put_word(uint8_t *bits, uint32_t at, uint64_t word)
{
    memcpy(bits + at / 8, &word, 8);
}

static uint64_t rows_word(uint32_t rows_count, uint32_t at)
{
    return rows_count - at >= 64 ? UINT64_MAX : (UINT64_C(1) << (rows_count - at)) - 1;
}

/* What a choosing step collects: the errors that count and the lowest row whose message is known.
 */
struct chosen {
    uint8_t *errors;
    bool has_errors;
    const struct tn_row_error *error;
    uint32_t error_row;
};

static void chosen_init(struct chosen *chosen, uint32_t rows_count, struct tn_arena *arena)
{
    *chosen = (struct chosen){.errors = tni_bits_new(rows_count, arena)};
}

/* `word`: errors of `reg` that count in rows at … at + 63. */
static void choose_errors(struct chosen *chosen, const struct tni_reg *reg, uint32_t at,
                          uint64_t word)
{
    if (!word)
        return;
    uint64_t before;
    memcpy(&before, chosen->errors + at / 8, 8);
    put_word(chosen->errors, at, before | word);
    chosen->has_errors = true;
    uint32_t row = reg->is_const ? at + (uint32_t)__builtin_ctzll(word) : reg->error_row;
    bool is_here = row >= at && row - at < 64 && (word >> (row - at) & 1);
    if (reg->error && is_here && (!chosen->error || row < chosen->error_row)) {
        chosen->error = reg->error;
        chosen->error_row = row;
    }
}

static void give_chosen(const struct chosen *chosen, struct tni_reg *dst)
{
    if (!chosen->has_errors)
        return;
    dst->errors = chosen->errors;
    dst->error = chosen->error;
    dst->error_row = chosen->error_row;
}

static bool all_const(const struct tni_step *step, const struct tni_reg *regs)
{
    for (uint32_t i = 0; i < step->args_count; i++)
        if (!regs[step->args[i]].is_const)
            return false;
    return true;
}

/* Rows the step works on, and its register prepared as a BOOLEAN column with validity. */
static uint32_t open_boolean(const struct tni_step *step, struct tni_reg *regs,
                             const struct tni_env *env)
{
    struct tni_reg *dst = &regs[step->dst];
    dst->is_const = all_const(step, regs);
    uint32_t rows_count = dst->is_const ? 1 : env->rows_count;
    tn_column_init(&dst->col, tn_type_of(TN_K_BOOLEAN), rows_count, true, env->arena);
    return rows_count;
}

/* A constant register over one row, seen as such. */
static bool has_null_bits(const uint8_t *validity, uint32_t rows_count)
{
    return tni_bits_count(validity, rows_count) != rows_count;
}

static void close_boolean(struct tni_reg *dst, uint32_t rows_count)
{
    if (!has_null_bits(dst->col.validity, rows_count))
        dst->col.validity = NULL;
}

/* AND decides on false, OR on true; `decides` is the word of operands that do. */
void tni_step_logic(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    bool is_and = step->kind == TNI_STEP_AND;
    bool is_stream = step->expr->rules == TN_RULES_STREAM;
    uint32_t rows_count = open_boolean(step, regs, env);
    struct tni_reg *dst = &regs[step->dst];
    struct chosen chosen;
    chosen_init(&chosen, rows_count, env->arena);
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t open = rows_word(rows_count, at), decided = 0, nulls = 0;
        for (uint32_t i = 0; i < step->args_count && open; i++) {
            const struct tni_reg *arg = &regs[step->args[i]];
            uint64_t failed = error_word(arg, at) & open;
            choose_errors(&chosen, arg, at, failed);
            nulls |= failed;
            open &= ~failed;
            uint64_t valid = is_stream ? UINT64_MAX : valid_word(arg, at);
            uint64_t value = true_word(arg, at);
            uint64_t decides = (is_and ? valid & ~value : value) & open;
            decided |= decides;
            nulls |= open & ~decides & ~valid;
            open &= ~decides;
        }
        put_word(dst->col.values, at, is_and ? ~decided : decided);
        put_word(dst->col.validity, at, decided | ~nulls);
    }
    give_chosen(&chosen, dst);
    close_boolean(dst, rows_count);
}

void tni_step_not(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    const struct tni_reg *arg = &regs[step->args[0]];
    uint32_t rows_count = open_boolean(step, regs, env);
    struct tni_reg *dst = &regs[step->dst];
    for (uint32_t at = 0; at < rows_count; at += 64) {
        bool is_null = arg->col.type->kind == TN_K_NULL;
        put_word(dst->col.values, at, ~true_word(arg, at));
        put_word(dst->col.validity, at, is_null ? 0 : valid_word(arg, at));
    }
    close_boolean(dst, rows_count);
    dst->errors = arg->errors;
    dst->error = arg->error;
    dst->error_row = arg->error_row;
}

/* ---- choosing values ---- */

#define NO_CHOICE UINT16_MAX

static void select_fixed(const struct tni_reg *const *from, const uint16_t *choice,
                         struct tn_column *out)
{
    size_t width = tn_kind_width(out->type->kind);
    uint8_t *to = out->values;
    for (uint32_t row = 0; row < out->rows_count; row++, to += width) {
        if (choice[row] == NO_CHOICE)
            continue;
        const struct tni_reg *reg = from[choice[row]];
        const uint8_t *values = reg->col.values;
        uint32_t at = reg->is_const ? 0 : row;
        if (values)
            memcpy(to, values + at * width, width);
    }
}

static void select_text(const struct tni_reg *const *from, const uint16_t *choice,
                        struct tn_column *out, struct tn_arena *arena)
{
    int64_t total = 0;
    for (uint32_t row = 0; row < out->rows_count; row++) {
        out->offsets[row] = (int32_t)total;
        if (choice[row] == NO_CHOICE || !from[choice[row]]->col.offsets)
            continue;
        const struct tni_reg *reg = from[choice[row]];
        uint32_t at = reg->is_const ? 0 : row;
        total += reg->col.offsets[at + 1] - reg->col.offsets[at];
    }
    if (TN_UNLIKELY(tn_arena_refuses(arena, (size_t)total))) { /* the evaluation fails */
        memset(out->offsets, 0, (out->rows_count + 1) * sizeof *out->offsets);
        total = 0;
    }
    TN_ASSERT(total <= INT32_MAX);
    out->offsets[out->rows_count] = (int32_t)total;
    out->data = tn_arena_alloc(arena, (size_t)total);
    for (uint32_t row = 0; row < out->rows_count; row++) {
        int32_t len = out->offsets[row + 1] - out->offsets[row];
        if (len == 0)
            continue;
        const struct tni_reg *reg = from[choice[row]];
        int32_t at = reg->col.offsets[reg->is_const ? 0 : row];
        memcpy(out->data + out->offsets[row], reg->col.data + at, (size_t)len);
    }
}

static void select_cells(const struct tni_reg *const *from, const uint16_t *choice,
                         struct tn_column *out, struct tn_arena *arena)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(out->type, arena);
    for (uint32_t row = 0; row < out->rows_count; row++) {
        if (choice[row] == NO_CHOICE) {
            tn_colbuilder_add_null(builder);
            continue;
        }
        const struct tni_reg *reg = from[choice[row]];
        struct tn_value value = tn_column_value(&reg->col, reg->is_const ? 0 : row, arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, out);
}

/* dst = from[choice[row]] per row; NO_CHOICE and failed rows are NULL. */
static void select_values(struct tni_reg *dst, const struct tn_type *type,
                          const struct tni_reg *const *from, const uint16_t *choice,
                          uint32_t rows_count, struct tn_arena *arena)
{
    tn_column_init(&dst->col, type, rows_count, true, arena);
    for (uint32_t row = 0; row < rows_count; row++) {
        bool is_null = choice[row] == NO_CHOICE;
        if (!is_null) {
            const struct tni_reg *reg = from[choice[row]];
            is_null = tn_column_is_null(&reg->col, reg->is_const ? 0 : row);
        }
        tn_bit_put(dst->col.validity, row, !is_null);
        if (type->kind == TN_K_BOOLEAN && !is_null) {
            const struct tni_reg *reg = from[choice[row]];
            tn_bit_put(dst->col.values, row, tn_column_bool(&reg->col, reg->is_const ? 0 : row));
        }
    }
    if (tn_kind_width(type->kind))
        select_fixed(from, choice, &dst->col);
    else if (tn_kind_is_varlen(type->kind))
        select_text(from, choice, &dst->col, arena);
    else if (tn_kind_is_nested(type->kind))
        select_cells(from, choice, &dst->col, arena);
    if (dst->col.validity && !has_null_bits(dst->col.validity, rows_count) &&
        type->kind != TN_K_NULL)
        dst->col.validity = NULL;
}

static const struct tni_reg **arg_regs(const struct tni_step *step, const struct tni_reg *regs,
                                       struct tn_arena *arena)
{
    const struct tni_reg **from =
        tn_arena_alloc(arena, step->args_count * sizeof(const struct tni_reg *));
    for (uint32_t i = 0; i < step->args_count; i++)
        from[i] = &regs[step->args[i]];
    return from;
}

static void put_choice(uint16_t *choice, uint32_t at, uint64_t word, uint32_t arg)
{
    for (; word; word &= word - 1)
        choice[at + (uint32_t)__builtin_ctzll(word)] = (uint16_t)arg;
}

static uint16_t *choice_new(uint32_t rows_count, struct tn_arena *arena)
{
    uint16_t *choice = tn_arena_alloc(arena, rows_count * sizeof *choice);
    memset(choice, 0xff, rows_count * sizeof *choice);
    return choice;
}

void tni_step_case(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    struct tni_reg *dst = &regs[step->dst];
    const struct tni_reg **from = arg_regs(step, regs, env->arena);
    TN_ASSERT(step->args_count < NO_CHOICE);
    dst->is_const = all_const(step, regs);
    uint32_t rows_count = dst->is_const ? 1 : env->rows_count;
    uint32_t pairs_end = step->args_count & ~1u;
    uint16_t *choice = choice_new(rows_count, env->arena);
    struct chosen chosen;
    chosen_init(&chosen, rows_count, env->arena);
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t open = rows_word(rows_count, at);
        for (uint32_t i = 0; i < pairs_end && open; i += 2) {
            uint64_t failed = error_word(from[i], at) & open;
            choose_errors(&chosen, from[i], at, failed);
            open &= ~failed;
            uint64_t taken = true_word(from[i], at) & open;
            choose_errors(&chosen, from[i + 1], at, error_word(from[i + 1], at) & taken);
            put_choice(choice, at, taken, i + 1);
            open &= ~taken;
        }
        if (step->args_count > pairs_end) {
            choose_errors(&chosen, from[pairs_end], at, error_word(from[pairs_end], at) & open);
            put_choice(choice, at, open, pairs_end);
        }
    }
    select_values(dst, step->expr->type, from, choice, rows_count, env->arena);
    give_chosen(&chosen, dst);
}

void tni_step_coalesce(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    struct tni_reg *dst = &regs[step->dst];
    const struct tni_reg **from = arg_regs(step, regs, env->arena);
    TN_ASSERT(step->args_count < NO_CHOICE);
    dst->is_const = all_const(step, regs);
    uint32_t rows_count = dst->is_const ? 1 : env->rows_count;
    uint16_t *choice = choice_new(rows_count, env->arena);
    struct chosen chosen;
    chosen_init(&chosen, rows_count, env->arena);
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t open = rows_word(rows_count, at);
        for (uint32_t i = 0; i < step->args_count && open; i++) {
            uint64_t failed = error_word(from[i], at) & open;
            choose_errors(&chosen, from[i], at, failed);
            open &= ~failed;
            uint64_t taken = valid_word(from[i], at) & open;
            put_choice(choice, at, taken, i);
            open &= ~taken;
        }
    }
    select_values(dst, step->expr->type, from, choice, rows_count, env->arena);
    give_chosen(&chosen, dst);
}

/* ---- IN ---- */

/* Members as a hash set: open addressing over 64-bit keys. Fixed-width kinds store the value
 * itself; text stores its hash and is compared in full. */
struct tni_in_set {
    enum tn_kind kind;
    bool has_null;
    uint32_t mask;
    uint64_t *keys;
    struct tn_str *texts; /* by slot; NULL ptr = empty slot */
    bool *is_used;
};

static bool is_set_kind(enum tn_kind kind)
{
    return tn_kind_is_varlen(kind) || tn_kind_width(kind) == 4 || tn_kind_width(kind) == 8;
}

/* Equal doubles get equal keys: −0.0 is 0.0. NaN equals nothing; the caller leaves it out. */
static uint64_t double_key(double value)
{
    uint64_t key;
    value += 0.0;
    if (value == 0)
        value = 0;
    memcpy(&key, &value, 8);
    return key;
}

static uint64_t slot_hash(uint64_t key)
{
    return tn_mix64(key, 0x9FB21C651E98DF25ull);
}

static bool set_has(const struct tni_in_set *set, uint64_t key, struct tn_str text)
{
    for (uint32_t slot = (uint32_t)slot_hash(key) & set->mask; set->is_used[slot];
         slot = (slot + 1) & set->mask)
        if (set->keys[slot] == key && (!set->texts || tn_str_eq(set->texts[slot], text)))
            return true;
    return false;
}

static void set_add(struct tni_in_set *set, uint64_t key, struct tn_str text)
{
    uint32_t slot = (uint32_t)slot_hash(key) & set->mask;
    while (set->is_used[slot])
        slot = (slot + 1) & set->mask;
    set->is_used[slot] = true;
    set->keys[slot] = key;
    if (set->texts)
        set->texts[slot] = text;
}

static void set_add_value(struct tni_in_set *set, const struct tn_value *value)
{
    if (value->is_null) {
        set->has_null = true;
        return;
    }
    uint64_t key = (uint64_t)value->i;
    struct tn_str text = {0};
    if (set->texts) {
        text = value->s;
        key = tn_hash64(text.ptr, text.len);
    } else if (set->kind == TN_K_DOUBLE) {
        if (isnan(value->d))
            return;
        key = double_key(value->d);
    }
    if (!set_has(set, key, text))
        set_add(set, key, text);
}

const struct tni_in_set *tni_in_set_new(const struct tn_expr *expr, struct tn_arena *arena)
{
    enum tn_kind kind = expr->args[0]->type->kind;
    if (expr->args_count < SET_MIN + 1 || !is_set_kind(kind))
        return NULL;
    for (uint32_t i = 1; i < expr->args_count; i++) {
        const struct tn_expr *arg = expr->args[i];
        if (arg->kind != TN_E_CONST || (!arg->value.is_null && arg->type->kind != kind))
            return NULL;
    }
    uint32_t slots = 16;
    while (slots < expr->args_count * 2)
        slots *= 2;
    struct tni_in_set *set = TN_ARENA_NEW(arena, struct tni_in_set);
    *set = (struct tni_in_set){.kind = kind, .mask = slots - 1};
    set->keys = TN_ARENA_ARRAY(arena, uint64_t, slots);
    set->is_used = TN_ARENA_ARRAY(arena, bool, slots);
    if (tn_kind_is_varlen(kind))
        set->texts = TN_ARENA_ARRAY(arena, struct tn_str, slots);
    for (uint32_t i = 1; i < expr->args_count; i++)
        set_add_value(set, &expr->args[i]->value);
    return set;
}

static void in_set(const struct tni_in_set *set, const struct tn_column *col, uint32_t rows_count,
                   uint8_t *found)
{
    const struct tn_str none = {0};
    size_t width = tn_kind_width(col->type->kind);
    for (uint32_t row = 0; row < rows_count; row++) {
        bool is_in;
        if (tn_column_is_null(col, row))
            continue;
        if (width == 4)
            is_in = set_has(set, (uint64_t)(int64_t)tn_column_i32(col, row), none);
        else if (col->type->kind == TN_K_DOUBLE)
            is_in = !isnan(tn_column_f64(col, row)) &&
                    set_has(set, double_key(tn_column_f64(col, row)), none);
        else if (width == 8)
            is_in = set_has(set, (uint64_t)tn_column_i64(col, row), none);
        else {
            struct tn_str text = tn_column_str(col, row);
            is_in = set_has(set, tn_hash64(text.ptr, text.len), text);
        }
        if (is_in)
            tn_bit_set(found, row);
    }
}

static bool equal_cells(const struct tni_reg *a, const struct tni_reg *b, uint32_t row)
{
    uint32_t at_a = a->is_const ? 0 : row, at_b = b->is_const ? 0 : row;
    if (tn_column_is_null(&a->col, at_a) || tn_column_is_null(&b->col, at_b))
        return false;
    if (a->col.type->kind == TN_K_DOUBLE)
        return tn_column_f64(&a->col, at_a) == tn_column_f64(&b->col, at_b);
    return tn_column_same(&a->col, at_a, &b->col, at_b);
}

/* Members one by one: found, rows that met a NULL member, errors of members before the match. */
static void in_list(const struct tni_step *step, const struct tni_reg *regs, uint32_t rows_count,
                    uint8_t *found, uint8_t *unknown, struct chosen *chosen)
{
    const struct tni_reg *value = &regs[step->args[0]];
    for (uint32_t i = 1; i < step->args_count; i++) {
        const struct tni_reg *member = &regs[step->args[i]];
        for (uint32_t at = 0; at < rows_count; at += 64) {
            uint64_t open, failed;
            memcpy(&open, found + at / 8, 8);
            memcpy(&failed, chosen->errors + at / 8, 8);
            open = ~(open | failed) & rows_word(rows_count, at);
            choose_errors(chosen, member, at, error_word(member, at) & open);
            uint64_t nulls;
            memcpy(&nulls, unknown + at / 8, 8);
            put_word(unknown, at, nulls | (~valid_word(member, at) & open));
        }
        for (uint32_t row = 0; row < rows_count; row++)
            if (!tn_bit_get(found, row) && !tn_bit_get(chosen->errors, row) &&
                equal_cells(value, member, row))
                tn_bit_set(found, row);
    }
}

void tni_step_in(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    const struct tni_reg *value = &regs[step->args[0]];
    uint32_t rows_count = open_boolean(step, regs, env);
    struct tni_reg *dst = &regs[step->dst];
    bool is_stream = step->expr->rules == TN_RULES_STREAM;
    uint8_t *found = tni_bits_new(rows_count, env->arena);
    uint8_t *unknown = tni_bits_new(rows_count, env->arena);
    struct chosen chosen;
    chosen_init(&chosen, rows_count, env->arena);
    for (uint32_t at = 0; at < rows_count; at += 64)
        choose_errors(&chosen, value, at, error_word(value, at) & rows_word(rows_count, at));
    if (step->set) /* a constant value is one row: so is the result */
        in_set(step->set, &value->col, rows_count, found);
    else
        in_list(step, regs, rows_count, found, unknown, &chosen);
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t hit, null_member;
        memcpy(&hit, found + at / 8, 8);
        memcpy(&null_member, unknown + at / 8, 8);
        if (step->set && step->set->has_null)
            null_member = UINT64_MAX;
        uint64_t valid = is_stream ? UINT64_MAX : valid_word(value, at) & (hit | ~null_member);
        uint64_t failed;
        memcpy(&failed, chosen.errors + at / 8, 8);
        put_word(dst->col.values, at, step->expr->is_flag ? ~hit : hit);
        put_word(dst->col.validity, at, valid & ~failed);
    }
    give_chosen(&chosen, dst);
    close_boolean(dst, rows_count);
}
