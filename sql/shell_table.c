/* Text table of a result document: reads it with the JSON scanner, measures columns by code points.
 */
#include "sql/shell_table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "connectors/json_scan.h"
#include "stream/base/arena.h"

#define COLUMNS_MAX 256
#define WIDTH_MAX   60

struct cell {
    struct tn_str text;
    bool is_number;
};

struct table {
    struct tn_arena arena;
    uint32_t columns_count, rows_count, rows_cap;
    struct cell *header;
    struct cell **rows;
    size_t width[COLUMNS_MAX];
};

static size_t text_width(struct tn_str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return width;
}

/* The value at json->p as shown text. */
static bool read_cell(struct table *table, struct tn_json *json, struct cell *ret_cell)
{
    struct tn_str text;
    unsigned flags;
    const char *from = json->p;
    *ret_cell = (struct cell){0};
    if (json->p < json->end && *json->p == '"') {
        if (!tn_json_string(json, &text, &flags))
            return false;
        char *copy = tn_arena_alloc(&table->arena, text.len + 1);
        size_t len = tn_json_unescape(text, copy);
        for (size_t i = 0; i < len; i++) /* one line, no terminal control from data */
            copy[i] = (unsigned char)copy[i] < 32 || copy[i] == 127 ? ' ' : copy[i];
        ret_cell->text = (struct tn_str){copy, len};
        return true;
    }
    if (!tn_json_skip(json))
        return false;
    ret_cell->text = (struct tn_str){from, (size_t)(json->p - from)};
    ret_cell->is_number = *from == '-' || tn_json_is_digit(*from);
    if (tn_str_eq(ret_cell->text, TN_STR("null")))
        ret_cell->text = TN_STR("NULL");
    return true;
}

static bool read_columns(struct table *table, struct tn_json *json)
{
    struct tn_str name;
    unsigned flags;
    bool is_done;
    table->header = TN_ARENA_ARRAY(&table->arena, struct cell, COLUMNS_MAX);
    if (json->p >= json->end || *json->p++ != '[')
        return false;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_element(json, is_first, &is_done))
            return false;
        if (is_done)
            return true;
        if (table->columns_count == COLUMNS_MAX || *json->p++ != '{')
            return false;
        for (bool is_first_member = true;; is_first_member = false) {
            struct cell cell;
            if (!tn_json_member(json, is_first_member, &is_done, &name, &flags))
                return false;
            if (is_done)
                break;
            if (!read_cell(table, json, &cell))
                return false;
            if (tn_str_eq(name, TN_STR("name")))
                table->header[table->columns_count] = cell;
        }
        table->columns_count++;
    }
}

static struct cell *add_row(struct table *table)
{
    if (table->rows_count == table->rows_cap) {
        uint32_t cap = table->rows_cap ? table->rows_cap * 2 : 64;
        struct cell **grown = TN_ARENA_ARRAY(&table->arena, struct cell *, cap);
        if (table->rows_count)
            memcpy(grown, table->rows, table->rows_count * sizeof *grown);
        table->rows = grown;
        table->rows_cap = cap;
    }
    struct cell *row = TN_ARENA_ARRAY(&table->arena, struct cell, table->columns_count + 1);
    table->rows[table->rows_count++] = row;
    return row;
}

static bool read_rows(struct table *table, struct tn_json *json)
{
    bool is_done;
    if (json->p >= json->end || *json->p++ != '[')
        return false;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_element(json, is_first, &is_done))
            return false;
        if (is_done)
            return true;
        if (*json->p++ != '[')
            return false;
        struct cell *row = add_row(table);
        for (uint32_t c = 0;; c++) {
            if (!tn_json_element(json, c == 0, &is_done))
                return false;
            if (is_done)
                break;
            if (c == table->columns_count || !read_cell(table, json, &row[c]))
                return false;
        }
    }
}

static bool read_document(struct table *table, struct tn_str document)
{
    struct tn_json json = {document.ptr, document.ptr + document.len, NULL, TN_JSON_DEPTH_MAX};
    struct tn_str name;
    unsigned flags;
    bool is_done;
    tn_json_space(&json);
    if (json.p >= json.end || *json.p++ != '{')
        return false;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_member(&json, is_first, &is_done, &name, &flags))
            return false;
        if (is_done)
            return table->header != NULL;
        bool is_ok = tn_str_eq(name, TN_STR("columns")) ? read_columns(table, &json)
                     : tn_str_eq(name, TN_STR("rows"))  ? read_rows(table, &json)
                                                        : tn_json_skip(&json);
        if (!is_ok)
            return false;
    }
}

static void print_cell(const struct cell *cell, size_t width, bool is_last, FILE *out)
{
    size_t used = text_width(cell->text);
    int pad = used < width ? (int)(width - used) : 0;
    if (cell->is_number)
        fprintf(out, "%*s%.*s", pad, "", TN_STR_FMT(cell->text));
    else
        fprintf(out, "%.*s%*s", TN_STR_FMT(cell->text), is_last ? 0 : pad, "");
    fputs(is_last ? "\n" : " | ", out);
}

/* Columns of the terminal behind `out`; SIZE_MAX when there is none. */
static size_t terminal_width(FILE *out)
{
    struct winsize size;
    if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return SIZE_MAX;
    return size.ws_col;
}

static void print_count(const struct table *table, FILE *out)
{
    fprintf(out, "(%u row%s)\n", table->rows_count, table->rows_count == 1 ? "" : "s");
}

/* One line per value, for tables that are wider than the terminal. */
static void print_lines(const struct table *table, FILE *out)
{
    size_t widest = 0;
    for (uint32_t c = 0; c < table->columns_count; c++)
        if (text_width(table->header[c].text) > widest)
            widest = text_width(table->header[c].text);
    for (uint32_t r = 0; r < table->rows_count; r++) {
        fprintf(out, "-[ row %u ]-\n", r + 1);
        for (uint32_t c = 0; c < table->columns_count; c++) {
            struct cell name = {table->header[c].text, false}, value = table->rows[r][c];
            value.is_number = false;
            print_cell(&name, widest, false, out);
            print_cell(&value, 0, true, out);
        }
    }
    print_count(table, out);
}

static size_t measure(struct table *table)
{
    size_t total = 0;
    for (uint32_t c = 0; c < table->columns_count; c++) {
        table->width[c] = text_width(table->header[c].text);
        for (uint32_t r = 0; r < table->rows_count; r++) {
            size_t width = text_width(table->rows[r][c].text);
            if (width > table->width[c])
                table->width[c] = width < WIDTH_MAX ? width : WIDTH_MAX;
        }
        total += table->width[c] + 3;
    }
    return total;
}

static void print_table(struct table *table, FILE *out)
{
    if (measure(table) - 3 > terminal_width(out) && table->rows_count) {
        print_lines(table, out);
        return;
    }
    for (uint32_t c = 0; c < table->columns_count; c++)
        print_cell(&table->header[c], table->width[c], c + 1 == table->columns_count, out);
    for (uint32_t c = 0; c < table->columns_count; c++) {
        for (size_t i = 0; i < table->width[c]; i++)
            fputc('-', out);
        fputs(c + 1 == table->columns_count ? "\n" : "-+-", out);
    }
    for (uint32_t r = 0; r < table->rows_count; r++)
        for (uint32_t c = 0; c < table->columns_count; c++)
            print_cell(&table->rows[r][c], table->width[c], c + 1 == table->columns_count, out);
    print_count(table, out);
}

void tni_shell_table(struct tn_str document, FILE *out)
{
    struct table table = {0};
    tn_arena_init(&table.arena, 0);
    if (read_document(&table, document))
        print_table(&table, out);
    else
        fprintf(out, "%.*s\n", TN_STR_FMT(document));
    tn_arena_release(&table.arena);
}
