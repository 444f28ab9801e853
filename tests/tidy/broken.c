/* What clang-tidy must find, and what it must not: tidy.sh looks at this file first. */
#include "stream/base/status.h"

enum tn_status take(int number, int *ret_value, struct tn_err *err);
enum tn_status first(int number, int **ret_value, struct tn_err *err);

enum tn_status take(int number, int *ret_value, struct tn_err *err)
{
    if (number < 0)
        return tn_err_set(err, TN_E_INVALID, "%d is below 0", number);
    *ret_value = number;
    return TN_OK;
}

enum tn_status first(int number, int **ret_value, struct tn_err *err)
{
    int value, *nothing = NULL;
    TN_TRY(take(number, &value, err)); /* fine: a set error is a failure */
    if (value == 7)
        **ret_value = *nothing; /* to be found */
    return TN_OK;
}
