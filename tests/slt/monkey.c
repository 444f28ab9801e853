/* Monkey: random statements against a whole tarn. slt_monkey SEED COUNT FILE…
 *
 * Takes the statements of .slt files and of the parser's corpus, exchanges words between them and
 * runs the result. Nothing may crash, no assertion may fail, and what is refused has a message.
 * Between statements the engine works; now and then the world restarts, and the catalog must be
 * readable.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "tests/slt/world.h"

#define STATEMENTS_MAX 4096
#define WORDS_MAX      65536

struct pool {
    char *statements[STATEMENTS_MAX];
    size_t statements_count;
    struct tn_str words[WORDS_MAX];
    size_t words_count;
    uint64_t random;
};

static uint64_t roll(struct pool *pool, uint64_t below)
{
    pool->random ^= pool->random << 13;
    pool->random ^= pool->random >> 7;
    pool->random ^= pool->random << 17;
    return below ? (pool->random >> 11) % below : 0;
}

static size_t word_len(const char *at)
{
    if (isalnum((unsigned char)*at) || *at == '_') {
        size_t len = 1;
        while (isalnum((unsigned char)at[len]) || at[len] == '_')
            len++;
        return len;
    }
    if (*at == '\'' || *at == '"') {
        const char *end = strchr(at + 1, *at);
        return end ? (size_t)(end - at) + 1 : 1;
    }
    return 1;
}

static void add_statement(struct pool *pool, const char *text, size_t len)
{
    if (!len || pool->statements_count == STATEMENTS_MAX)
        return;
    char *copy = tn_strndup(text, len);
    pool->statements[pool->statements_count++] = copy;
    for (char *at = copy; *at;) {
        size_t word = word_len(at);
        if (!isspace((unsigned char)*at) && pool->words_count < WORDS_MAX)
            pool->words[pool->words_count++] = (struct tn_str){at, word};
        at += word;
    }
}

/* Blocks between empty lines, without headers, expected rows and comments. */
static bool load(struct pool *pool, const char *path)
{
    FILE *file = fopen(path, "rb");
    char line[8192], text[16384];
    size_t len = 0;
    bool is_over = false;
    if (!file)
        return false;
    while (fgets(line, sizeof line, file)) {
        size_t got = strcspn(line, "\n");
        if (!got) {
            add_statement(pool, text, len);
            len = 0;
            is_over = false;
            continue;
        }
        is_over = is_over || !strncmp(line, "----", 4) || !strncmp(line, "=>", 2) ||
                  !strncmp(line, "==", 2);
        bool is_header = !strncmp(line, "statement", 9) || !strncmp(line, "query", 5) ||
                         !strncmp(line, "expect", 6) || !strncmp(line, "feed", 4) ||
                         !strncmp(line, "apply", 5) || *line == '#' || *line == '{';
        if (is_over || is_header || len + got + 1 >= sizeof text)
            continue;
        memcpy(text + len, line, got);
        len += got;
        text[len++] = ' ';
    }
    add_statement(pool, text, len);
    fclose(file);
    return true;
}

static void mutate(struct pool *pool, const char *from, struct tn_buf *buf)
{
    uint64_t rate = 2 + roll(pool, 12);
    for (const char *at = from; *at;) {
        size_t len = word_len(at);
        bool is_space = isspace((unsigned char)*at);
        uint64_t what = is_space ? 0 : roll(pool, 100);
        if (what < 100 - rate) {
            tn_buf_add(buf, at, len);
        } else if (what % 3) {
            tn_buf_add_str(buf, pool->words[roll(pool, pool->words_count)]);
        } else if (what % 2) {
            tn_buf_add(buf, at, len);
            tn_buf_add_byte(buf, ' ');
            tn_buf_add(buf, at, len);
        }
        at += len;
    }
}

static enum tn_status no_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                 struct tn_err *err)
{
    (void)rows, (void)schema, (void)err;
    return TN_OK;
}

static enum tn_status no_batch(struct tn_rows *rows, const struct tn_batch *batch,
                               struct tn_err *err)
{
    (void)rows, (void)batch, (void)err;
    return TN_OK;
}

static bool run_one(struct pool *pool, struct world *world, int64_t *ret_good)
{
    struct tn_buf sql;
    struct tn_err err = TN_ERR_INIT;
    struct tn_rows rows = {no_columns, no_batch};
    /* rows_max and memory keep products of tables small; a push query ends at once */
    struct tn_budget budget = {.clock = world_clock(world), .memory_bytes_max = 64 << 20};
    enum tn_statement_class class;
    bool is_fine = true;
    tn_buf_init(&sql, 1 << 16);
    mutate(pool, pool->statements[roll(pool, pool->statements_count)], &sql);
    if (sql.len && memmem(sql.ptr, sql.len, "EMIT", 4))
        budget.is_cancelled = true;
    enum tn_status st = tn_db_run(world_db(world), world_session(world), tn_buf_str(&sql), &budget,
                                  &rows, &class, &err);
    if (tn_failed(st) && (!err.message[0] || err.code == TN_E_INTERNAL)) {
        fprintf(stderr, "internal: %s\n  %.*s\n", err.message, (int)sql.len, sql.ptr);
        is_fine = false;
    }
    *ret_good += !tn_failed(st);
    tn_buf_release(&sql);
    return is_fine;
}

int main(int argc, char **argv)
{
    static struct pool pool;
    struct world_options options = {.partitions = 2};
    if (argc < 4)
        return 2;
    pool.random = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15ull + 1;
    long count = strtol(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        if (!load(&pool, argv[i]))
            return 2;
    struct world *world = world_open(&options);
    int bad = 0;
    int64_t good = 0;
    for (long i = 0; world && i < count && bad < 5; i++) {
        struct tn_err err = TN_ERR_INIT;
        bad += !run_one(&pool, world, &good);
        if (roll(&pool, 10) == 0)
            world_settle(world);
        if (roll(&pool, 400) == 0 && tn_failed(world_restart(world, roll(&pool, 2) == 0, &err))) {
            fprintf(stderr, "restart after %ld statements: %s\n", i, err.message);
            bad++;
            break;
        }
    }
    world_close(world);
    for (size_t i = 0; i < pool.statements_count; i++)
        tn_free(pool.statements[i]);
    printf("%ld statements, %lld accepted, %d wrong\n", count, (long long)good, bad);
    return bad || !world || !good;
}
