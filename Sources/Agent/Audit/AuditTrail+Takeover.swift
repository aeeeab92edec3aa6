import Audit
import JSON

/// Entries on their way from a process that ends to the one that has taken over from it.
extension AuditTrail.Entry {
    /// As the message between the two says it.
    var json: JSONObject {
        [
            "time": .string(time), "event": .string(event), "category": .string(category.rawValue),
            "severity": .string(severity), "strangers": .bool(isStrangers), "fields": .object(fields),
        ]
    }

    /// From such a message.
    init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        guard let category = AuditCategory(rawValue: try object.string("category")) else {
            throw JSONAccessError(code: .badValue, path: "category", message: "is no category of security events")
        }
        guard let fields = object["fields"]?.object else {
            throw JSONAccessError(code: .wrongType, path: "fields", message: "is no object")
        }
        self.init(
            time: try object.string("time"), event: try object.string("event"), category: category,
            severity: try object.string("severity"), fields: fields, isStrangers: try object.bool("strangers"))
    }
}
