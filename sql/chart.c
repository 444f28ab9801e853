/* Text bars: collects the rows of one small statement, scales the longest bar to BAR_WIDTH. */
#include "sql/chart.h"

#include "stream/base/mem.h"

#define BAR_WIDTH   40
#define LABEL_WIDTH 30
#define ROWS_MAX    50

struct chart {
    struct tn_rows base;
    struct tn_arena arena;
    uint32_t count;
    int64_t sum;
    struct {
        struct tn_str label;
        int64_t number;
    } bars[ROWS_MAX];
};

static enum tn_status chart_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                    struct tn_err *err)
{
    (void)rows;
    if (schema->fields_count != 2 || schema->fields[0].type->kind != TN_K_VARCHAR ||
        schema->fields[1].type->kind != TN_K_BIGINT)
        return tn_err_set(err, TN_E_INVALID, "a chart takes a VARCHAR and a BIGINT column");
    return TN_OK;
}

static enum tn_status chart_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                  struct tn_err *err)
{
    struct chart *chart = (struct chart *)rows;
    (void)err;
    for (uint32_t r = 0; r < batch->rows_count; r++) {
        if (tn_column_is_null(&batch->columns[0], r) || tn_column_is_null(&batch->columns[1], r))
            continue;
        int64_t number = tn_column_i64(&batch->columns[1], r);
        chart->sum += number;
        if (chart->count == ROWS_MAX)
            continue;
        chart->bars[chart->count].label =
            tn_arena_str(&chart->arena, tn_column_str(&batch->columns[0], r));
        chart->bars[chart->count++].number = number;
    }
    return TN_OK;
}

static int text_width(struct tn_str text)
{
    int width = 0;
    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return width;
}

static void print_bars(const struct chart *chart, FILE *out)
{
    int64_t largest = 1;
    for (uint32_t i = 0; i < chart->count; i++)
        if (chart->bars[i].number > largest)
            largest = chart->bars[i].number;
    fputc('\n', out);
    for (uint32_t i = 0; i < chart->count; i++) {
        int pad = LABEL_WIDTH - text_width(chart->bars[i].label);
        fprintf(out, "%*s%.*s  ", pad > 0 ? pad : 0, "", TN_STR_FMT(chart->bars[i].label));
        for (int64_t b = 0; b < chart->bars[i].number * BAR_WIDTH / largest; b++)
            fputs("█", out);
        fprintf(out, " %lld\n", (long long)chart->bars[i].number);
    }
    fprintf(out, "%*s  %lld in all\n", LABEL_WIDTH, "", (long long)chart->sum);
}

enum tn_status tn_chart_print(struct tn_db *db, const char *text, FILE *out, struct tn_err *err)
{
    struct chart *chart = tn_alloc(sizeof *chart);
    struct tn_session session;
    struct tn_budget budget = {0};
    enum tn_statement_class class;
    chart->base = (struct tn_rows){chart_columns, chart_batch};
    tn_arena_init(&chart->arena, 0);
    tn_session_init(&session);
    enum tn_status st =
        tn_db_run(db, &session, tn_str_of(text), &budget, &chart->base, &class, err);
    if (!tn_failed(st))
        print_bars(chart, out);
    tn_arena_release(&chart->arena);
    tn_free(chart);
    return st;
}
