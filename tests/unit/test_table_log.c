/* The table log: entries print and parse to the same, appending has one winner, readers get the
 * tail, damage is named. Covers connectors/table_log.c. */
#include "connectors/folder_store.h"
#include "connectors/table_log.h"
#include "tests/check.h"
#include "tests/support/temp_folder.h"

#define CONST_STR(literal)                                                                         \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static struct tn_arena arena;
static struct tn_err err;

static void fill(struct tn_table_entry *entry, int64_t version)
{
    static struct tn_table_column columns[] = {{CONST_STR("id"), CONST_STR("INTEGER")},
                                               {CONST_STR("song \"name\""), CONST_STR("VARCHAR")}};
    static struct tn_str keys[] = {CONST_STR("id")}, folders[] = {CONST_STR("dt"), CONST_STR("c")};
    static struct tn_table_meta meta = {
        CONST_STR("json"), CONST_STR("gzip"), CONST_STR("change"), 2, 1, 2, columns, keys, folders};
    static struct tn_table_range ranges[] = {{CONST_STR("plays"), {1, 2, 255}, 3, 100, 200},
                                             {CONST_STR("plays"), {1, 2, 255}, 4, 0, 7}};
    static struct tn_table_part parts[] = {{CONST_STR("dt"), CONST_STR("2026-01-02")},
                                           {CONST_STR("c"), {NULL, 0}}};
    static struct tn_table_stat stats[] = {
        {CONST_STR("id"),
         {.kind = TN_TABLE_INT, .integer = -1},
         {.kind = TN_TABLE_INT, .integer = INT64_MAX},
         0},
        {CONST_STR("x"),
         {.kind = TN_TABLE_DOUBLE, .number = 0.5},
         {.kind = TN_TABLE_DOUBLE, .number = 1e300},
         -1},
        {CONST_STR("b"), {.kind = TN_TABLE_BOOL}, {.kind = TN_TABLE_BOOL, .boolean = true}, 1},
        {CONST_STR("t"),
         {.kind = TN_TABLE_TEXT, .text = CONST_STR("a\n\"")},
         {.kind = TN_TABLE_NONE},
         2}};
    static struct tn_table_file files[] = {
        {.path = CONST_STR("dt=2026-01-02/c=__HIVE_DEFAULT_PARTITION__/plays-3-1.json.gz"),
         .bytes = 841454,
         .rows = 1000,
         .crc32 = 0x0a1b2c3d,
         .modified_ms = 1767312000000,
         .source = CONST_STR("plays"),
         .partition = 3,
         .first = 100,
         .next = 200,
         .parts_count = 2,
         .stats_count = 4,
         .parts = parts,
         .stats = stats},
        {.path = CONST_STR("_errors/plays-3-1.json"),
         .bytes = 3,
         .rows = 1,
         .is_errors = true,
         .source = CONST_STR("plays"),
         .partition = 3,
         .first = 150,
         .next = 151},
        {.path = CONST_STR("old"), .is_removed = true, .modified_ms = 5}};
    static struct tn_table_notice notices[] = {{CONST_STR("plays-\"notices\""), 2, 88},
                                               {CONST_STR("letters"), 0, 0}};
    *entry = (struct tn_table_entry){.version = version,
                                     .timestamp_ms = 1767312000000,
                                     .commit_id = TN_STR("abc-1"),
                                     .operation = TN_STR("APPEND"),
                                     .sink = TN_STR("s"),
                                     .epoch = 7,
                                     .meta = &meta,
                                     .ranges_count = 2,
                                     .files_count = 3,
                                     .notices_count = 2,
                                     .notices = notices,
                                     .ranges = ranges,
                                     .files = files};
}

static void test_round_trip(void)
{
    struct tn_table_entry entry, back;
    struct tn_buf first, second;
    fill(&entry, 4);
    tn_buf_init(&first, 1 << 16);
    tn_buf_init(&second, 1 << 16);
    tn_table_entry_print(&entry, &first);
    CHECK_OK(tn_table_entry_parse(tn_buf_str(&first), 4, &arena, &back, &err), &err);
    tn_table_entry_print(&back, &second);
    CHECK_STR(tn_buf_str(&second), tn_buf_cstr(&first));
    CHECK_INT(back.ranges[0].log_id[2], 255);
    CHECK_INT(back.files[0].stats[0].max.integer, INT64_MAX);
    CHECK(back.files[0].parts[1].value.ptr == NULL);
    CHECK_STR(back.notices[0].topic, "plays-\"notices\"");
    CHECK(back.notices[0].partition == 2 && back.notices[0].offset == 88);
    CHECK(back.files[1].is_errors && back.files[2].is_removed);
    CHECK_STR(back.meta->columns[1].name, "song \"name\"");
    tn_buf_release(&first);
    tn_buf_release(&second);
}

static enum tn_status parse(const char *text)
{
    struct tn_table_entry entry;
    return tn_table_entry_parse(tn_str_of(text), 9, &arena, &entry, &err);
}

static void test_damage(void)
{
    CHECK_INT(parse(""), TN_E_CORRUPT);
    CHECK_STR(tn_str_of(err.message), "table log entry 9 has no commit");
    CHECK_INT(parse("{\"commit\":{\"id\":\"x\"}}\n{\"add\":{\"path\":\"a\",\"si"), TN_E_CORRUPT);
    CHECK_STR(tn_str_of(err.message), "table log entry 9, line 2: string without closing quote");
    CHECK_INT(parse("{\"commit\":{}}\n{\"add\":{\"size\":1}}"), TN_E_CORRUPT);
    CHECK_INT(parse("{\"commit\":{}}\n{\"add\":{\"path\":\"a\",\"size\":1.5}}"), TN_E_CORRUPT);
    CHECK_INT(parse("{\"commit\":{}}\n{\"range\":{\"source\":\"a\",\"logId\":\"zz\"}}"),
              TN_E_CORRUPT);
    CHECK_INT(parse("{\"commit\":{}}\n{\"notice\":{\"topic\":\"a\",\"partition\":-1}}"),
              TN_E_CORRUPT);
    CHECK_INT(parse("{\"commit\":{}}\n{\"notice\":{\"topic\":\"a\",\"from\":-1}}"), TN_E_CORRUPT);
    CHECK_INT(parse("{\"commit\":{\"id\":7}}"), TN_E_CORRUPT);
    /* What later versions may add is skipped. */
    CHECK_INT(parse("{\"commit\":{\"id\":\"x\",\"new\":[1,{}]}}\n{\"later\":{\"a\":1}}\n"
                    "{\"add\":{\"path\":\"a\",\"tags\":null}}"),
              TN_OK);
}

struct seen {
    int64_t versions[8];
    int count;
};

static enum tn_status see(void *ctx, const struct tn_table_entry *entry, struct tn_err *ret_err)
{
    struct seen *seen = ctx;
    (void)ret_err;
    seen->versions[seen->count++] = entry->version;
    return TN_OK;
}

static void test_store(const char *folder)
{
    struct tn_object_store *store;
    struct tn_table_entry entry;
    struct seen seen = {0};
    struct tn_str root = TN_STR("bronze/plays");
    int64_t next = -1;
    CHECK_OK(tn_folder_store_open(folder, &store, &err), &err);
    CHECK_OK(tn_table_log_read(store, root, 0, &arena, see, &seen, &next, 0, &err), &err);
    CHECK_INT(next, 0);
    CHECK_INT(tn_table_log_get(store, root, 0, &arena, &entry, 0, &err), TN_NOT_FOUND);
    for (int64_t version = 0; version < 3; version++) {
        fill(&entry, version);
        CHECK_OK(tn_table_log_append(store, root, &entry, 0, &err), &err);
    }
    entry.commit_id = TN_STR("late");
    CHECK_INT(tn_table_log_append(store, root, &entry, 0, &err), TN_E_EXISTS);
    CHECK_OK(tn_table_log_get(store, root, 2, &arena, &entry, 0, &err), &err);
    CHECK_STR(entry.commit_id, "abc-1");
    CHECK_OK(tn_table_log_read(store, root, 1, &arena, see, &seen, &next, 0, &err), &err);
    CHECK_INT(next, 3);
    CHECK(seen.count == 2 && seen.versions[0] == 1 && seen.versions[1] == 2);
    char key[TN_OBJECT_KEY_MAX + 1];
    tn_table_log_key(TN_STR(""), 42, key);
    CHECK_STR(tn_str_of(key), "_log/00000000000000000042.commit");
    tn_object_store_close(store);
}

static enum tn_status count_up(void *ctx, const struct tn_table_entry *entry,
                               struct tn_err *ret_err)
{
    int64_t *next = ctx;
    (void)ret_err;
    CHECK_INT(entry->version, *next);
    ++*next;
    return TN_OK;
}

static void read_expecting(struct tn_object_store *store, int64_t from, int64_t end)
{
    int64_t at = from, next = -1;
    CHECK_OK(tn_table_log_read(store, TN_STR("t"), from, &arena, count_up, &at, &next, 0, &err),
             &err);
    CHECK_INT(next, end);
    CHECK_INT(at, end);
}

static void remove_entries(struct tn_object_store *store, int64_t from, int64_t next)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    for (int64_t version = from; version < next; version++) {
        tn_table_log_key(TN_STR("t"), version, key);
        CHECK_OK(tn_object_remove(store, key, 0, &err), &err);
    }
}

/* A long log is read by its checkpoints: what they hold need not even be there. */
static void test_checkpoints(const char *folder)
{
    struct tn_object_store *store;
    const int64_t size = TN_TABLE_CHECKPOINT_ENTRIES, count = 2 * size + 40;
    struct tn_table_entry entry = {.commit_id = TN_STR("a"), .operation = TN_STR("APPEND")};
    char key[TN_OBJECT_KEY_MAX + 1];
    int64_t end = -1;
    CHECK_OK(tn_folder_store_open(folder, &store, &err), &err);
    CHECK_OK(tn_table_log_end(store, TN_STR("t"), &end, &err), &err);
    CHECK_INT(end, 0);
    for (; entry.version < count; entry.version++) {
        CHECK_OK(tn_table_log_append(store, TN_STR("t"), &entry, 0, &err), &err);
        tn_table_log_checkpoint(store, TN_STR("t"), entry.version, 0);
    }
    CHECK_OK(tn_table_log_end(store, TN_STR("t"), &end, &err), &err);
    CHECK_INT(end, count);
    read_expecting(store, 0, count);
    read_expecting(store, size - 3, count);
    read_expecting(store, count, count);
    remove_entries(store, 1, size);
    remove_entries(store, size + 1, 2 * size);
    read_expecting(store, 0, count);
    tn_table_checkpoint_key(TN_STR("t"), 2 * size - 1, key);
    CHECK_OK(tn_object_put(store, key, TN_STR("{\"entry\":{\"version\":512,\"bytes\":9}}\n"), false,
                           0, &err),
             &err);
    read_expecting(store, 0, size + 1); /* damaged: left alone */
    remove_entries(store, 0, 1);
    entry = (struct tn_table_entry){.commit_id = TN_STR("b"), .operation = TN_STR("CREATE")};
    CHECK_OK(tn_table_log_append(store, TN_STR("t"), &entry, 0, &err), &err);
    read_expecting(store, 0, 1); /* of a log that was there before: left alone */
    tn_object_store_close(store);
}

int main(void)
{
    char folder[256];
    tn_arena_init(&arena, 0);
    temp_folder_make(folder, sizeof folder);
    test_round_trip();
    test_damage();
    test_store(folder);
    test_checkpoints(folder);
    temp_folder_remove(folder);
    tn_arena_release(&arena);
    return TN_TEST_END();
}
