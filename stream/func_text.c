/* Text: joining, case, trimming, searching. Lengths and positions count code points under query
 * rules and UTF-16 units under stream rules, as Trino and Java do. @thread the running one */
#include "stream/base/utf8.h"
#include "stream/func_int.h"

/* ---- joining ---- */

/* Query rules: strict. */
static void kernel_concat(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        for (uint32_t arg = 0; tni_row_ok(call, row) && arg < call->args_count; arg++)
            tni_text_add(&out, tni_arg_str(call, arg, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* Stream rules: NULL is left out. */
static void kernel_concat_nulls(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        for (uint32_t arg = 0; arg < call->args_count; arg++)
            if (!tni_arg_null(call, arg, row))
                tni_text_add(&out, tni_arg_str(call, arg, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

#define OP(NAME, FLAGS, ARGS, RESULT, FN)                                                          \
    {                                                                                              \
        .name = NAME, .flags = FLAGS, .args_count = sizeof(ARGS) - 1, .args = ARGS,                \
        .result = TN_K_##RESULT, .kernel = FN                                                      \
    }

static const struct tn_func rows[] = {
    OP("||", TN_FN_QUERY | TN_FN_INTERNAL, "ss", VARCHAR, kernel_concat),
    OP("||", TN_FN_QUERY | TN_FN_INTERNAL, "yy", BYTES, kernel_concat),
    OP("||", TN_FN_STREAM | TN_FN_INTERNAL | TN_FN_NULL_CALL, "ss", VARCHAR, kernel_concat_nulls),
    OP("||", TN_FN_STREAM | TN_FN_INTERNAL | TN_FN_NULL_CALL, "yy", BYTES, kernel_concat_nulls),
};

TNI_TABLE(text);
