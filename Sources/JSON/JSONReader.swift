/// Reads JSON texts: one value, UTF-8, no duplicate keys, within limits (RFC 8259, and JSON5 for files).
public enum JSONReader {
    /// Reads a text into a value.
    ///
    /// - Throws: ``JSONError`` with the place and what was expected there.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONValue {
        do {
            return try read(bytes, dialect, limits, ValueBuilder())
        } catch {
            guard error.code == .duplicateKey else { throw error.reported(in: bytes) }
        }
        // Only a builder with positions knows the first of two equal keys; the second pass finds the same error.
        return try parseDocument(bytes, dialect: dialect, limits: limits).value
    }

    /// Reads a text into a value.
    public static func parse(
        _ bytes: [UInt8], dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONValue {
        try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) -> JSONValue in
            try parse(UnsafeRawBufferPointer(buffer), dialect: dialect, limits: limits)
        }
    }

    /// Reads a text into a value.
    public static func parse(
        _ text: String, dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONValue {
        try parse(Array(text.utf8), dialect: dialect, limits: limits)
    }

    /// Reads a text into a tree that knows the place of every key and value.
    ///
    /// - Throws: ``JSONError`` with the place and what was expected there.
    public static func parseDocument(
        _ bytes: UnsafeRawBufferPointer, dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONDocument {
        do {
            return JSONDocument(root: try read(bytes, dialect, limits, NodeBuilder(bytes)))
        } catch {
            throw error.reported(in: bytes)
        }
    }

    /// Reads a text into a tree that knows the place of every key and value.
    public static func parseDocument(
        _ bytes: [UInt8], dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONDocument {
        try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) -> JSONDocument in
            try parseDocument(UnsafeRawBufferPointer(buffer), dialect: dialect, limits: limits)
        }
    }

    /// Reads a text into a tree that knows the place of every key and value.
    public static func parseDocument(
        _ text: String, dialect: JSONDialect = .strict, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONDocument {
        try parseDocument(Array(text.utf8), dialect: dialect, limits: limits)
    }

    private static func read<Builder: TreeBuilder>(
        _ bytes: UnsafeRawBufferPointer, _ dialect: JSONDialect, _ limits: JSONLimits, _ builder: Builder
    ) throws(Failure) -> Builder.Value {
        var parser = Parser(bytes, dialect: dialect, limits: limits, builder: builder)
        return try parser.document()
    }
}
