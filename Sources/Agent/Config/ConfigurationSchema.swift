public import JSON

/// The JSON Schema of the configuration, for editors: published as `docs/mesh.schema.json`.
public enum ConfigurationSchema {
    /// The schema (JSON Schema 2020-12). It knows types and forms; ranges of durations and cross checks are the agent's.
    public static var document: JSONValue {
        var schema = SchemaWriter.object(ConfigurationTable.root, defaults: Configuration())
        var properties = schema["properties"]?.object ?? JSONObject()
        properties["$schema"] = ["type": "string", "description": "Where this schema is, for editors."]
        schema["properties"] = .object(properties)
        var document: JSONObject = [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Conduit Mesh agent configuration (mesh.json)",
        ]
        for member in schema {
            document[member.key] = member.value
        }
        return .object(document)
    }

    /// The schema's text with a final line break.
    public static var text: String {
        document.text(.pretty) + "\n"
    }
}

/// Writes the schema of an object by its table of fields.
enum SchemaWriter {
    static func object<Root>(_ fields: [Field<Root>], defaults: Root) -> JSONObject {
        var properties = JSONObject()
        for field in fields {
            let steps = field.name.split(separator: ".").map(String.init)
            put(.object(property(field, defaults)), steps[...], in: &properties)
        }
        var schema: JSONObject = [
            "type": "object", "additionalProperties": false, "properties": .object(properties),
        ]
        let required = fields.filter(\.isRequired).map(\.name)
        if !required.isEmpty { schema["required"] = JSONValue(required) }
        return schema
    }

    /// Puts a property where its name's steps lead, through objects that have nothing else.
    private static func put(_ property: JSONValue, _ steps: ArraySlice<String>, in properties: inout JSONObject) {
        guard let first = steps.first else { return }
        guard steps.count > 1 else {
            properties[first] = property
            return
        }
        var group = properties[first]?.object ?? ["type": "object", "additionalProperties": false]
        var inner = group["properties"]?.object ?? JSONObject()
        put(property, steps.dropFirst(), in: &inner)
        group["properties"] = .object(inner)
        properties[first] = .object(group)
    }

    private static func property<Root>(_ field: Field<Root>, _ defaults: Root) -> JSONObject {
        var schema: JSONObject = ["description": .string(field.summary)]
        if field.form.isNullable {
            schema["anyOf"] = [.object(field.form.schema), ["type": "null"]]
        } else {
            for member in field.form.schema {
                schema[member.key] = member.value
            }
        }
        if field.defaultText == nil, !field.isRequired {
            schema["default"] = field.value(defaults)
        }
        return schema
    }
}
