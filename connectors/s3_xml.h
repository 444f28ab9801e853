/* Reader of the small XML documents S3 answers: elements and their text, entities decoded. No DTD,
 * no external entities: a document that declares any is bad. Attributes are skipped.
 * Ownership: names borrow the document; text is valid until the next event. One owner thread.
 */
#ifndef TN_CONNECTORS_S3_XML_H
#define TN_CONNECTORS_S3_XML_H

#include "stream/base/buf.h"

#define TNI_XML_DEPTH_MAX 16

enum tni_xml_event { TNI_XML_OPEN, TNI_XML_CLOSE, TNI_XML_END, TNI_XML_BAD };

struct tni_xml {
    const char *ptr, *end;
    struct tn_str names[TNI_XML_DEPTH_MAX]; /* open elements */
    int depth;
    struct tn_str name;  /* of the element just opened or closed */
    struct tn_buf text;  /* at a CLOSE without children: the element's text */
    bool is_empty_close; /* <a/> has been opened, its CLOSE comes next */
    bool is_after_close;
};

void tni_xml_init(struct tni_xml *xml, struct tn_str document);
void tni_xml_release(struct tni_xml *xml);
/* END only when every element is closed; after END or BAD nothing follows. */
enum tni_xml_event tni_xml_next(struct tni_xml *xml);

static inline bool tni_xml_is(const struct tni_xml *xml, const char *name)
{
    return tn_str_eq(xml->name, tn_str_of(name));
}
/* At a CLOSE: is this the element around it? */
static inline bool tni_xml_within(const struct tni_xml *xml, const char *name)
{
    return xml->depth > 0 && tn_str_eq(xml->names[xml->depth - 1], tn_str_of(name));
}

#endif
