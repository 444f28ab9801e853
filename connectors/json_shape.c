/* Learning the shape of JSON objects. Contract: connectors/json_shape.h. */
#include "connectors/json_shape.h"

#include "connectors/format_json.h"

static bool learn_member(struct tni_json_codec *codec, struct tni_json_shape *shape,
                         struct tn_str text, struct tn_str name)
{
    struct tni_shape_member *member = &shape->members[shape->count];
    int match = 0;
    if (shape->count == TNI_SHAPE_MEMBERS_MAX || text.len > TNI_SHAPE_TEXT_MAX)
        return false;
    *member = (struct tni_shape_member){.len = (uint8_t)text.len,
                                        .column = (int16_t)tni_json_column(codec, name, &match)};
    memcpy(member->text, text.ptr, text.len);
    member->mask = text.len == 32 ? UINT32_MAX : (UINT32_C(1) << text.len) - 1;
    for (uint32_t i = 0; i < shape->count; i++)
        if (member->column >= 0 && shape->members[i].column == member->column)
            return false;
    shape->count++;
    return true;
}

void tni_shape_learn(struct tni_json_codec *codec, struct tn_str text)
{
    struct tni_json_shape shape = {.count = 0};
    struct tn_json json = {text.ptr + 1, text.ptr + text.len, NULL, codec->depth_max};
    const char *from = text.ptr;
    for (bool is_first = true;; is_first = false) {
        struct tn_str name;
        unsigned flags;
        bool is_done;
        if (!tn_json_member(&json, is_first, &is_done, &name, &flags))
            return;
        if (is_done)
            break;
        if ((flags & TN_JSON_ESCAPED) ||
            !learn_member(codec, &shape, (struct tn_str){from, (size_t)(json.p - from)}, name) ||
            !tn_json_skip(&json))
            return;
        from = json.p;
    }
    if (json.p != from + 1 || !shape.count) /* space before the brace */
        return;
    if (!codec->shape)
        codec->shape = tn_arena_alloc(&codec->arena, sizeof *codec->shape);
    *codec->shape = shape;
}
