import JSON

/// What the JSON files of this room have in common.
enum OwnFile {
    /// The version that is written, and the only one that is read.
    static let version: Int64 = 1

    /// The object of a file, its version checked.
    static func object(_ text: [UInt8], _ what: String, sizeLimit: Int) throws(JOSEError) -> JSONObject {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(text, limits: JSONLimits(maximumBytes: sizeLimit, maximumDepth: 8))
        } catch {
            throw malformed(what, "\(error)")
        }
        guard let object = value.object else { throw malformed(what, "it is \(value.typeName)") }
        guard let version = object["version"]?.integer else { throw malformed(what, "it has no version") }
        guard version == Self.version else {
            throw JOSEError(
                .unknownVersion, "\(what) has version \(version); this program knows \(Self.version)",
                hint: "use the program that wrote it, or a newer one")
        }
        return object
    }

    static func malformed(_ what: String, _ why: String) -> JOSEError {
        JOSEError(
            .malformedFile, "\(what) is damaged: \(why)", hint: "restore it from a backup; it is not meant to be edited"
        )
    }

    static func checkCount(_ count: Int, limit: Int, _ what: String) throws(JOSEError) {
        guard count <= limit else {
            throw JOSEError(
                .tooManyEntries, "\(count) \(what) are more than the file may have (\(limit))",
                hint: "remove those that have ended")
        }
    }

    /// An error of reading, as this room has it.
    static func widen(_ error: any Error, _ what: String) -> JOSEError {
        if let error = error as? JOSEError { return error }
        return malformed(what, "\(error)")
    }
}
