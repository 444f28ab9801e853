/* Signatures of S3 requests against the cases of tests/s3/sigv4_vectors.txt, whose signatures come
 * from an independent implementation (tests/s3/make_vectors.py). Covers connectors/s3_sign.c. */
#include <stdlib.h>
#include <time.h>

#include "connectors/s3_sign.h"
#include "stream/base/mem.h"
#include "tests/check.h"

struct vector {
    char *text; /* owns the fields */
    const char *name, *canonical, *signature, *time;
    struct tni_pair query[TNI_SIGN_PAIRS_MAX], headers[TNI_SIGN_PAIRS_MAX];
    struct tni_sign_input input;
};

static int64_t parse_time(const char *text)
{
    struct tm tm = {0};
    CHECK(strptime(text, "%Y%m%dT%H%M%SZ", &tm) != NULL);
    return (int64_t)timegm(&tm);
}

static void take_pair(struct tni_pair *pairs, size_t *count, char *value)
{
    char *tab = strchr(value, '\t');
    TN_ASSERT(tab && *count < TNI_SIGN_PAIRS_MAX);
    *tab = 0;
    pairs[(*count)++] = (struct tni_pair){tn_str_of(value), tn_str_of(tab + 1)};
}

static void take_field(struct vector *vector, const char *field, char *value)
{
    struct tni_sign_input *input = &vector->input;
    const struct {
        const char *field, **to;
    } texts[] = {{"case", &vector->name},           {"canonical", &vector->canonical},
                 {"signature", &vector->signature}, {"time", &vector->time},
                 {"method", &input->method},        {"path", &input->path},
                 {"region", &input->region},        {"service", &input->service},
                 {"access", &input->access_key},    {"secret", &input->secret_key},
                 {"payload", &input->payload}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].field, field) == 0) {
            *texts[i].to = value;
            return;
        }
    if (strcmp(field, "query") == 0)
        take_pair(vector->query, &input->query_count, value);
    else if (strcmp(field, "header") == 0)
        take_pair(vector->headers, &input->headers_count, value);
    else
        CHECK(!"a known field");
}

static void check_vector(struct vector *vector, struct tni_sign_key *key)
{
    struct tn_buf scratch, authorization;
    struct tn_err err = TN_ERR_INIT;
    char hash[TNI_SHA256_HEX], want[80];
    vector->input.query = vector->query;
    vector->input.headers = vector->headers;
    vector->input.time_s = parse_time(vector->time);
    tn_buf_init(&scratch, 64 << 10);
    tn_buf_init(&authorization, 8 << 10);
    CHECK_OK(tni_s3_sign(&vector->input, key, &scratch, &authorization, hash, &err), &err);
    snprintf(want, sizeof want, "Signature=%s", vector->signature);
    if (strcmp(hash, vector->canonical) != 0 || !strstr(tn_buf_cstr(&authorization), want))
        fprintf(stderr, "case %s:\n%s\n", vector->name, tn_buf_cstr(&scratch));
    CHECK(strcmp(hash, vector->canonical) == 0);
    CHECK(strstr(tn_buf_cstr(&authorization), want) != NULL);
    tn_buf_release(&scratch);
    tn_buf_release(&authorization);
}

static void test_vectors(void)
{
    FILE *file = fopen("tests/s3/sigv4_vectors.txt", "r");
    struct tni_sign_key key = {0}; /* one for all: a stale derived key would show */
    struct vector vector = {0};
    char *line = NULL, *kept[64];
    size_t cap = 0, kept_count = 0;
    int cases = 0;
    CHECK(file != NULL);
    while (file && getline(&line, &cap, file) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || !tab)
            continue;
        *tab = 0;
        TN_ASSERT(kept_count < 64);
        kept[kept_count] = tn_strdup(tab + 1);
        take_field(&vector, line, kept[kept_count++]);
        if (strcmp(line, "signature") != 0)
            continue;
        check_vector(&vector, &key);
        cases++;
        vector = (struct vector){0};
        while (kept_count)
            tn_free(kept[--kept_count]);
    }
    CHECK(cases >= 38);
    free(line);
    if (file)
        fclose(file);
}

static void test_limits(void)
{
    struct tni_pair many[TNI_SIGN_PAIRS_MAX + 1] = {0};
    struct tni_sign_input input = {
        .method = "GET",
        .path = "/a/path/that/makes/the/request/longer/than/a/first/allocation",
        .headers = many,
        .headers_count = TNI_SIGN_PAIRS_MAX + 1,
        .payload = TNI_PAYLOAD_UNKNOWN,
        .access_key = "a",
        .secret_key = "s",
        .region = "r",
        .service = "s3"};
    struct tni_sign_key key = {0};
    struct tn_buf scratch, authorization, small;
    struct tn_err err = TN_ERR_INIT;
    tn_buf_init(&scratch, 64 << 10);
    tn_buf_init(&small, 16);
    tn_buf_init(&authorization, 8 << 10);
    CHECK_INT(tni_s3_sign(&input, &key, &scratch, &authorization, NULL, &err), TN_E_LIMIT);
    input.headers_count = 0;
    CHECK_INT(tni_s3_sign(&input, &key, &small, &authorization, NULL, &err), TN_E_LIMIT);
    CHECK_INT(tni_s3_sign(&input, &key, &scratch, &authorization, NULL, &err), TN_OK);
    tn_buf_release(&scratch);
    tn_buf_release(&small);
    tn_buf_release(&authorization);
}

int main(void)
{
    test_vectors();
    test_limits();
    return TN_TEST_END();
}
