/* The formats this build knows, for main.c and tests: JSON, DELIMITED, KAFKA, NONE, RAW. */
#ifndef TN_CONNECTORS_FORMATS_H
#define TN_CONNECTORS_FORMATS_H

#include "stream/format.h"

extern const struct tn_format tn_format_json;
extern const struct tn_format tn_format_delimited;
extern const struct tn_format tn_format_kafka;
extern const struct tn_format tn_format_none;
extern const struct tn_format tn_format_raw;

const struct tn_formats *tn_formats_builtin(void);

#endif
