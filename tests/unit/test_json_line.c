/* The quick check of a line against the scanner: on random lines, whole and mutated. What the quick
 * one takes, the scanner takes, with the same end; what the scanner takes, is not nested deeper
 * than 64 and is not near the end of the input, the quick one takes on machines that have it. */
#include "connectors/formats.h"
#include "connectors/ingest_int.h"
#include "connectors/json_scan.h"
#include "stream/base/mem.h"
#include "tests/check.h"

enum { PAD = 128, ROUNDS = 60000 };

static uint64_t seed = 11;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % n;
}

static void add_blanks(struct tn_buf *buf)
{
    static const char *const some[] = {"", "", "", "", "", " ", "\t", "  \r", "                  "};
    tn_buf_add_text(buf, some[below(9)]);
}

static void add_string(struct tn_buf *buf)
{
    static const char *const parts[] = {
        "a",       "song-17",  "Some plain title", "\\n",
        "\\u00e9", "\xc3\xa9", "\\ud83d\\ude00",   "\xf0\x9f\x98\x80",
        "\\\\",    "\\\"",     "{[,:]}",           "0123456789abcdef0123",
        "\x7f"};
    tn_buf_add_byte(buf, '"');
    for (uint32_t n = below(4); n; n--)
        tn_buf_add_text(buf, parts[below(sizeof parts / sizeof *parts)]);
    tn_buf_add_byte(buf, '"');
}

static void add_value(struct tn_buf *buf, uint32_t depth);

static void add_nested(struct tn_buf *buf, uint32_t depth)
{
    bool is_object = below(2);
    tn_buf_add_byte(buf, is_object ? '{' : '[');
    add_blanks(buf);
    for (uint32_t i = 0, n = below(4); i < n; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        add_blanks(buf);
        if (is_object) {
            add_string(buf);
            add_blanks(buf);
            tn_buf_add_byte(buf, ':');
            add_blanks(buf);
        }
        add_value(buf, depth + 1);
        add_blanks(buf);
    }
    tn_buf_add_byte(buf, is_object ? '}' : ']');
}

static void add_value(struct tn_buf *buf, uint32_t depth)
{
    static const char *const scalars[] = {
        "0",    "-0",   "7",     "-12", "1234567890123456789012345", "1.5", "0.25e-3", "3E+7",
        "true", "null", "false", "1e9"};
    uint32_t what = below(depth > 5 ? 2 : 4);
    if (what == 0)
        tn_buf_add_text(buf, scalars[below(sizeof scalars / sizeof *scalars)]);
    else if (what == 1)
        add_string(buf);
    else
        add_nested(buf, depth);
}

static void mutate(char *text, size_t len)
{
    static const char bytes[] = "\"\\{}[],:0-.eE tfnu\n\r\x01\x80\xc3\xff";
    for (uint32_t n = below(3); n && len; n--) {
        size_t at = below((uint32_t)len);
        if (below(4) == 0)
            memmove(text + at, text + at + 1, len - at - 1);
        text[at] = bytes[below(sizeof bytes - 1)];
    }
}

/* Compares on the first line. True: the quick check found one. */
static bool compare(const char *text, const char *end, uint32_t depth)
{
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    const char *line_end = newline ? newline : end, *to = line_end;
    struct tn_json json = {text, line_end, NULL, TNI_INGEST_DEPTH_MAX};
    bool is_json = tn_json_check(&json);
    while (to > text && strchr(" \t\r", to[-1]))
        to--;
    const char *quick = tn_json_line(text, end);
    if (quick && strchr("\n", *quick))
        CHECK(is_json && quick == to);
    else if (is_json && to == line_end && newline && end - to > PAD && depth <= 64 &&
             !strchr(" \t\r", text[0]))
        CHECK(quick == to);
    return quick != NULL;
}

static void test_random(void)
{
    uint32_t used = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        add_value(&buf, 0);
        size_t len = buf.len;
        if (round % 3)
            mutate(buf.ptr, len);
        tn_buf_add_byte(&buf, '\n');
        for (uint32_t n = below(3 * PAD); n; n--)
            tn_buf_add_byte(&buf, " {\"[x,}"[below(7)]);
        /* a block of its own: a sanitizer sees a byte read behind it */
        char *text = tn_alloc_raw(buf.len);
        memcpy(text, buf.ptr, buf.len);
        used += compare(text, text + buf.len, 8);
        for (size_t cut = 0; cut < 3 && len; cut++) /* an input that ends anywhere */
            used += compare(text, text + below((uint32_t)buf.len), 8);
        tn_free(text);
        tn_buf_release(&buf);
    }
#if defined(__SSE2__)
    CHECK(used > ROUNDS / 4);
#endif
}

/* The decoder has a quick way for the usual member, too: it takes the objects that the scanner
 * takes. */
static void test_decoder(void)
{
    static struct tn_field fields[1];
    struct tn_schema schema = {1, fields};
    struct tn_codec_spec spec = {.schema = &schema, .depth_max = 200, .is_lenient = true};
    struct tn_codec *codec;
    struct tn_arena arena;
    uint32_t good = 0, bad = 0;
    fields[0] = (struct tn_field){TN_STR("song-17"), tn_type_of(TN_K_VARCHAR)};
    tn_arena_init(&arena, 0);
    CHECK_INT(tn_format_json.open(&tn_format_json, &spec, &codec, NULL), TN_OK);
    for (int round = 0; round < ROUNDS; round++) {
        struct tn_decoded decoded;
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        add_nested(&buf, 3);
        if (round % 3)
            mutate(buf.ptr, buf.len);
        char *text = tn_alloc_raw(buf.len);
        memcpy(text, buf.ptr, buf.len);
        struct tn_str input = {text, below(8) ? buf.len : below((uint32_t)buf.len + 1)};
        struct tn_json json = {input.ptr, input.ptr + input.len, NULL, 200};
        bool is_object = input.len > 0 && *text == '{' && tn_json_check(&json);
        tn_arena_reset(&arena);
        codec->format->decode(codec, &input, 1, &arena, &decoded);
        CHECK_INT(decoded.bad_count, is_object ? 0 : 1);
        good += is_object;
        bad += !is_object;
        tn_free(text);
        tn_buf_release(&buf);
    }
    CHECK(good > ROUNDS / 8 && bad > ROUNDS / 8);
    codec->format->close(codec);
    tn_arena_release(&arena);
}

static void test_depth(void)
{
    for (uint32_t depth = 1; depth < 70; depth++) {
        char text[2 * 70 + PAD + 2];
        size_t len = 0;
        for (uint32_t i = 0; i < depth; i++)
            text[len++] = '[';
        for (uint32_t i = 0; i < depth; i++)
            text[len++] = ']';
        text[len++] = '\n';
        memset(text + len, '\n', PAD);
        bool is_found = compare(text, text + len + PAD, depth);
#if defined(__SSE2__)
        CHECK(is_found == (depth <= 64));
#else
        CHECK(!is_found);
#endif
    }
}

/* The elements of a body are those of its lines one by one. */
static void test_split(void)
{
    for (int round = 0; round < 400; round++) {
        struct tn_buf body;
        uint32_t lines = 1 + below(20), wanted = 0;
        tn_buf_init(&body, 1 << 24);
        for (uint32_t i = 0; i < lines; i++) {
            add_blanks(&body);
            if (below(8)) {
                add_value(&body, 0);
                wanted++;
            }
            add_blanks(&body);
            tn_buf_add_text(&body, below(5) ? "\n" : "\r\n");
        }
        if (round % 2)
            mutate(body.ptr, body.len);
        struct tni_elements quick = {0};
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st =
            tni_ingest_split(tn_buf_str(&body), TNI_FORM_LINES, false, &quick, &err);
        bool is_good = true;
        uint32_t count = 0;
        for (const char *p = body.ptr, *end = p + body.len; p < end && is_good;) {
            const char *newline = memchr(p, '\n', (size_t)(end - p)),
                       *line_end = newline ? newline : end;
            struct tn_json json = {p, line_end, NULL, TNI_INGEST_DEPTH_MAX};
            tn_json_space(&json);
            const char *from = json.p;
            if (from < line_end) {
                is_good = tn_json_check(&json);
                if (is_good && st == TN_OK && count < quick.count)
                    CHECK(quick.items[count].ptr == from);
                count += is_good;
            }
            p = line_end + 1;
        }
        if (count == 0 && is_good)
            CHECK(st == TN_OK ? quick.count == 0 : st == TN_E_SYNTAX);
        else
            CHECK_INT(st, is_good ? TN_OK : TN_E_SYNTAX);
        if (st == TN_OK)
            CHECK_INT(quick.count, count);
        if (round % 2 == 0 && wanted)
            CHECK(st == TN_OK && count == wanted);
        tni_ingest_elements_release(&quick);
        tn_buf_release(&body);
    }
}

int main(void)
{
    test_random();
    test_decoder();
    test_depth();
    test_split();
    return TN_TEST_END();
}
