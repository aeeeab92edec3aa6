extension JSONValue {
    /// The object, or an error that says what is there instead.
    public func requireObject() throws(JSONAccessError) -> JSONObject {
        guard let object else { throw wrongType("an object") }
        return object
    }

    /// The elements, or an error that says what is there instead.
    public func requireArray() throws(JSONAccessError) -> [JSONValue] {
        guard let array else { throw wrongType("an array") }
        return array
    }

    /// The string, or an error that says what is there instead.
    public func requireString() throws(JSONAccessError) -> String {
        guard let string else { throw wrongType("a string") }
        return string
    }

    /// The integer within `range`, or an error that says what is there instead.
    public func requireInteger(in range: ClosedRange<Int64> = .min ... .max) throws(JSONAccessError) -> Int64 {
        guard let integer else { throw wrongType("an integer") }
        guard range.contains(integer) else {
            let message = "expected an integer from \(range.lowerBound) to \(range.upperBound), found \(integer)"
            throw JSONAccessError(code: .outOfRange, path: "", message: message)
        }
        return integer
    }

    /// The number, integers included, or an error that says what is there instead.
    public func requireNumber() throws(JSONAccessError) -> Double {
        guard let number else { throw wrongType("a number") }
        return number
    }

    /// The boolean, or an error that says what is there instead.
    public func requireBool() throws(JSONAccessError) -> Bool {
        guard let bool else { throw wrongType("true or false") }
        return bool
    }

    /// The strings of an array of strings, or an error at the first element that is something else.
    public func requireStrings() throws(JSONAccessError) -> [String] {
        try requireEach { (element) throws(JSONAccessError) in try element.requireString() }
    }

    /// The strings of an object whose members are all strings, or an error at the first member that is not.
    public func requireStringMap() throws(JSONAccessError) -> [String: String] {
        var map: [String: String] = [:]
        for member in try requireObject() {
            do {
                map[member.key] = try member.value.requireString()
            } catch {
                throw error.inside(member.key)
            }
        }
        return map
    }

    /// Reads every element of an array; errors name the element.
    @inlinable
    public func requireEach<Result>(
        _ read: (JSONValue) throws(JSONAccessError) -> Result
    ) throws(JSONAccessError) -> [Result] {
        let elements = try requireArray()
        var results: [Result] = []
        results.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            do {
                results.append(try read(element))
            } catch {
                throw error.inside(index)
            }
        }
        return results
    }

    private func wrongType(_ expected: String) -> JSONAccessError {
        JSONAccessError(code: .wrongType, path: "", message: "expected \(expected), found \(typeName)")
    }
}

extension JSONObject {
    /// Reads a member that must be there; errors name the member.
    ///
    /// `try object.read("weight") { (value) throws(JSONAccessError) in try value.requireInteger(in: 1...65535) }`
    @inlinable
    public func read<Result>(
        _ key: String, _ read: (JSONValue) throws(JSONAccessError) -> Result
    ) throws(JSONAccessError) -> Result {
        guard let value = self[key] else {
            throw JSONAccessError(code: .missingMember, path: key, message: "is missing")
        }
        do {
            return try read(value)
        } catch {
            throw error.inside(key)
        }
    }

    /// Reads a member that may be missing or null, which both give nil; errors name the member.
    @inlinable
    public func readIfPresent<Result>(
        _ key: String, _ read: (JSONValue) throws(JSONAccessError) -> Result
    ) throws(JSONAccessError) -> Result? {
        guard let value = self[key], !value.isNull else { return nil }
        return try self.read(key) { (_) throws(JSONAccessError) in try read(value) }
    }

    /// A string that must be there.
    public func string(_ key: String) throws(JSONAccessError) -> String {
        try read(key) { (value) throws(JSONAccessError) in try value.requireString() }
    }

    /// A string that may be missing or null.
    public func optionalString(_ key: String) throws(JSONAccessError) -> String? {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireString() }
    }

    /// An integer within `range` that must be there.
    public func integer(
        _ key: String, in range: ClosedRange<Int64> = .min ... .max
    ) throws(JSONAccessError) -> Int64 {
        try read(key) { (value) throws(JSONAccessError) in try value.requireInteger(in: range) }
    }

    /// An integer within `range` that may be missing or null.
    public func optionalInteger(
        _ key: String, in range: ClosedRange<Int64> = .min ... .max
    ) throws(JSONAccessError) -> Int64? {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireInteger(in: range) }
    }

    /// A boolean that must be there.
    public func bool(_ key: String) throws(JSONAccessError) -> Bool {
        try read(key) { (value) throws(JSONAccessError) in try value.requireBool() }
    }

    /// A boolean that may be missing or null.
    public func optionalBool(_ key: String) throws(JSONAccessError) -> Bool? {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireBool() }
    }

    /// A number that must be there, integers included.
    public func number(_ key: String) throws(JSONAccessError) -> Double {
        try read(key) { (value) throws(JSONAccessError) in try value.requireNumber() }
    }

    /// An object that must be there.
    public func object(_ key: String) throws(JSONAccessError) -> JSONObject {
        try read(key) { (value) throws(JSONAccessError) in try value.requireObject() }
    }

    /// An array that must be there.
    public func array(_ key: String) throws(JSONAccessError) -> [JSONValue] {
        try read(key) { (value) throws(JSONAccessError) in try value.requireArray() }
    }

    /// An array of strings; empty when it is missing or null.
    public func strings(_ key: String) throws(JSONAccessError) -> [String] {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireStrings() } ?? []
    }

    /// An object of strings; empty when it is missing or null.
    public func stringMap(_ key: String) throws(JSONAccessError) -> [String: String] {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireStringMap() } ?? [:]
    }

    /// Reads every element of an array; an empty result when it is missing or null. Errors name the element.
    @inlinable
    public func each<Result>(
        _ key: String, _ read: (JSONValue) throws(JSONAccessError) -> Result
    ) throws(JSONAccessError) -> [Result] {
        try readIfPresent(key) { (value) throws(JSONAccessError) in try value.requireEach(read) } ?? []
    }

    /// Refuses members that are not among `known`.
    public func requireOnly(_ known: Set<String>) throws(JSONAccessError) {
        for member in members where !known.contains(member.key) {
            let list = known.sorted().joined(separator: ", ")
            throw JSONAccessError(
                code: .unknownMember, path: member.key, message: "is not known here; known members: \(list)")
        }
    }
}
