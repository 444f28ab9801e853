/* Errors as Trino's clients know them: name, type, number, and a text that begins with the
 * position. Clients choose their exception class by the type and match some texts by pattern.
 * @thread any */
#include "sql/trino_int.h"

#define USER      "USER_ERROR"
#define INTERNAL  "INTERNAL_ERROR"
#define RESOURCES "INSUFFICIENT_RESOURCES"
#define EXTERNAL  "EXTERNAL"

/* In order of names. */
static const struct tni_trino_error known[] = {
    {"ABANDONED_QUERY", USER, 2},
    {"ADMINISTRATIVELY_KILLED", USER, 38},
    {"ALREADY_EXISTS", USER, 12},
    {"AMBIGUOUS_NAME", USER, 62},
    {"CATALOG_NOT_FOUND", USER, 44},
    {"COLUMN_ALREADY_EXISTS", USER, 51},
    {"COLUMN_NOT_FOUND", USER, 47},
    {"COLUMN_TYPE_UNKNOWN", USER, 60},
    {"CONFIGURATION_INVALID", INTERNAL, 65559},
    {"DIVISION_BY_ZERO", USER, 8},
    {"DUPLICATE_COLUMN_NAME", USER, 54},
    {"DUPLICATE_NAMED_QUERY", USER, 53},
    {"DUPLICATE_PROPERTY", USER, 79},
    {"EXCEEDED_CPU_LIMIT", RESOURCES, 131078},
    {"EXCEEDED_FUNCTION_MEMORY_LIMIT", USER, 37},
    {"EXCEEDED_LOCAL_MEMORY_LIMIT", RESOURCES, 131079},
    {"EXCEEDED_SCAN_LIMIT", RESOURCES, 131081},
    {"EXCEEDED_TIME_LIMIT", RESOURCES, 131075},
    {"EXPRESSION_NOT_AGGREGATE", USER, 73},
    {"EXPRESSION_NOT_CONSTANT", USER, 75},
    {"EXPRESSION_NOT_IN_DISTINCT", USER, 69},
    {"EXPRESSION_NOT_SCALAR", USER, 74},
    {"FUNCTION_NOT_AGGREGATE", USER, 72},
    {"FUNCTION_NOT_FOUND", USER, 6},
    {"FUNCTION_NOT_WINDOW", USER, 71},
    {"GENERIC_INSUFFICIENT_RESOURCES", RESOURCES, 131072},
    {"GENERIC_INTERNAL_ERROR", INTERNAL, 65536},
    {"GENERIC_USER_ERROR", USER, 0},
    {"INCOMPATIBLE_CLIENT", USER, 27},
    {"INVALID_ARGUMENTS", USER, 76},
    {"INVALID_CAST_ARGUMENT", USER, 9},
    {"INVALID_COLUMN_REFERENCE", USER, 63},
    {"INVALID_FUNCTION_ARGUMENT", USER, 7},
    {"INVALID_LIMIT_CLAUSE", USER, 90},
    {"INVALID_LITERAL", USER, 59},
    {"INVALID_ORDER_BY", USER, 91},
    {"INVALID_PARAMETER_USAGE", USER, 80},
    {"INVALID_PROCEDURE_ARGUMENT", USER, 30},
    {"INVALID_SCHEMA_PROPERTY", USER, 33},
    {"INVALID_SESSION_PROPERTY", USER, 14},
    {"INVALID_TABLE_PROPERTY", USER, 18},
    {"INVALID_VIEW", USER, 11},
    {"INVALID_WINDOW_FRAME", USER, 15},
    {"INVALID_WINDOW_REFERENCE", USER, 93},
    {"MISMATCHED_COLUMN_ALIASES", USER, 61},
    {"MISSING_CATALOG_NAME", USER, 56},
    {"MISSING_COLUMN_NAME", USER, 55},
    {"MISSING_GROUP_BY", USER, 64},
    {"MISSING_ORDER_BY", USER, 65},
    {"MISSING_OVER", USER, 66},
    {"MISSING_SCHEMA_NAME", USER, 57},
    {"NESTED_AGGREGATION", USER, 67},
    {"NESTED_WINDOW", USER, 68},
    {"NOT_FOUND", USER, 5},
    {"NOT_IN_TRANSACTION", USER, 21},
    {"NOT_SUPPORTED", USER, 13},
    {"NUMERIC_VALUE_OUT_OF_RANGE", USER, 19},
    {"PERMISSION_DENIED", USER, 4},
    {"PROCEDURE_NOT_FOUND", USER, 29},
    {"QUERY_QUEUE_FULL", RESOURCES, 131074},
    {"QUERY_REJECTED", USER, 31},
    {"QUERY_TEXT_TOO_LARGE", USER, 35},
    {"READ_ONLY_VIOLATION", USER, 23},
    {"ROLE_NOT_FOUND", USER, 48},
    {"SCHEMA_ALREADY_EXISTS", USER, 49},
    {"SCHEMA_NOT_EMPTY", USER, 34},
    {"SCHEMA_NOT_FOUND", USER, 45},
    {"SERIALIZATION_ERROR", INTERNAL, 65562},
    {"SERVER_SHUTTING_DOWN", INTERNAL, 65545},
    {"SERVER_STARTING_UP", INTERNAL, 65548},
    {"SUBQUERY_MULTIPLE_ROWS", USER, 28},
    {"SYNTAX_ERROR", USER, 1},
    {"TABLE_ALREADY_EXISTS", USER, 50},
    {"TABLE_NOT_FOUND", USER, 46},
    {"TOO_MANY_ARGUMENTS", USER, 77},
    {"TOO_MANY_GROUPING_SETS", USER, 70},
    {"TOO_MANY_REQUESTS_FAILED", INTERNAL, 65537},
    {"TRANSACTION_ALREADY_ABORTED", USER, 22},
    {"TYPE_MISMATCH", USER, 58},
    {"TYPE_NOT_FOUND", USER, 43},
    {"UNKNOWN_TRANSACTION", USER, 20},
    {"UNSUPPORTED_ISOLATION_LEVEL", USER, 26},
    {"USER_CANCELED", USER, 3},
    {"VIEW_IS_RECURSIVE", USER, 82},
};

struct tni_trino_error tni_trino_error_of(const struct tn_err *err)
{
    const char *name = tn_err_name(err);
    size_t low = 0, high = sizeof known / sizeof *known;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, known[mid].name);
        if (order == 0)
            return known[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    switch (err->code) {
    case TN_E_LIMIT:
    case TN_E_FULL:
    case TN_E_NOMEM:
        return (struct tni_trino_error){"GENERIC_INSUFFICIENT_RESOURCES", RESOURCES, 131072};
    case TN_E_BUSY: return (struct tni_trino_error){"SERVER_STARTING_UP", INTERNAL, 65548};
    case TN_E_IO: return (struct tni_trino_error){"ZONE_FILESYSTEM_ERROR", EXTERNAL, 16777216};
    case TN_E_CORRUPT: return (struct tni_trino_error){"ZONE_BAD_DATA", EXTERNAL, 16777217};
    case TN_E_FENCED:
    case TN_E_INDEFINITE:
    case TN_E_INTERNAL: return (struct tni_trino_error){"GENERIC_INTERNAL_ERROR", INTERNAL, 65536};
    default: return (struct tni_trino_error){"GENERIC_USER_ERROR", USER, 0};
    }
}

void tni_trino_error_text(const struct tn_err *err, struct tn_buf *buf)
{
    if (err->line > 0)
        tn_buf_printf(buf, "line %d:%d: ", err->line, err->col);
    tn_buf_add_text(buf, err->message);
    if (err->hint[0])
        tn_buf_printf(buf, " (%s)", err->hint);
}
