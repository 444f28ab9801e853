#include "stream/agg_int.h"
const struct tn_agg *const tni_aggs_sketch[] = {NULL};
