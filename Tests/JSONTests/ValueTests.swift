import JSON
import Testing

@Suite struct ValueTests {
    @Test func accessorsGiveTheirTypeOnly() {
        let value: JSONValue = ["i": 1, "d": 1.5, "s": "x", "b": true, "n": nil, "a": [1, 2], "o": ["x": 1]]
        #expect(value["i"]?.integer == 1)
        #expect(value["i"]?.number == 1)
        #expect(value["d"]?.integer == nil)
        #expect(value["d"]?.number == 1.5)
        #expect(value["s"]?.string == "x")
        #expect(value["s"]?.bool == nil)
        #expect(value["b"]?.bool == true)
        #expect(value["n"]?.isNull == true)
        #expect(value["a"]?[1] == 2)
        #expect(value["a"]?[2] == nil)
        #expect(value["a"]?["x"] == nil)
        #expect(value["o"]?["x"] == 1)
        #expect(value["z"] == nil)
        #expect(JSONValue(UInt64.max) == .number(18_446_744_073_709_551_616))
        #expect(JSONValue(UInt64(5)) == 5)
        #expect(JSONValue(["a"]) == ["a"])
    }

    @Test func objectsKeepTheirOrder() {
        var object: JSONObject = ["b": 1, "a": 2]
        object["c"] = 3
        object["b"] = 4
        #expect(object.keys == ["b", "a", "c"])
        object["b"] = nil
        #expect(object.keys == ["a", "c"])
        #expect(object["b"] == nil)
        object["z"] = nil
        #expect(object.count == 2)
    }

    @Test func objectsAreEqualInAnyOrder() {
        #expect((["a": 1, "b": 2] as JSONValue) == ["b": 2, "a": 1])
        #expect((["a": 1] as JSONValue) != ["a": 1, "b": 2])
        #expect((["a": 1] as JSONValue) != ["b": 1])
        #expect((1 as JSONValue) != .number(1))
    }

    /// The same behaviour with the dictionary that large objects have.
    @Test func largeObjectsKeepTheirOrder() {
        var object = JSONObject()
        for number in 0..<100 { object["k\(number)"] = JSONValue(number) }
        for number in stride(from: 0, to: 100, by: 2) { object["k\(number)"] = nil }
        object["k1"] = "new"
        object["k0"] = "back"
        #expect(object.count == 51)
        #expect(object.members.first == .init(key: "k1", value: "new"))
        #expect(object.members.last == .init(key: "k0", value: "back"))
        #expect((3..<100).allSatisfy { object["k\($0)"] == ($0 % 2 == 1 ? JSONValue($0) : Optional.none) })
    }

    /// An object that shrinks below the size at which it has a dictionary forgets it.
    @Test func shrunkObjectsAreSearchedAgain() {
        var object = JSONObject((0..<20).map { ("k\($0)", JSONValue($0)) })
        for number in 0..<10 { object["k\(number)"] = nil }
        #expect(object["k0"] == nil)
        #expect((10..<20).allSatisfy { object["k\($0)"] == JSONValue($0) })
        object["k0"] = "back"
        #expect(object.count == 11)
        #expect(object["k19"] == 19)
    }

    @Test func readingARecord() throws {
        let text =
            #"{"name":"db","weight":7,"tags":["a"],"metadata":{"k":"v"},"check":{"on":true},"note":null,"x":1.5}"#
        let object = try JSONReader.parse(text).requireObject()
        #expect(try object.string("name") == "db")
        #expect(try object.integer("weight", in: 1...10) == 7)
        #expect(try object.strings("tags") == ["a"])
        #expect(try object.strings("missing") == [])
        #expect(try object.stringMap("metadata") == ["k": "v"])
        #expect(try object.stringMap("missing") == [:])
        #expect(try object.object("check").bool("on"))
        #expect(try object.optionalBool("off") == nil)
        #expect(try object.optionalString("note") == nil)
        #expect(try object.optionalInteger("weight") == 7)
        #expect(try object.number("x") == 1.5)
        #expect(try object.array("tags").count == 1)
    }

    @Test func errorsNameThePath() throws {
        let value: JSONValue = ["services": [["weight": 1], ["weight": 0], ["tags": [1]]]]
        let object = try value.requireObject()
        let range = try #require(throws: JSONAccessError.self) {
            try object.each("services") { (element) throws(JSONAccessError) in
                try element.requireObject().integer("weight", in: 1...65535)
            }
        }
        #expect(range.description == "services[1].weight: expected an integer from 1 to 65535, found 0")
        #expect(range.code == .outOfRange)
        let type = try #require(throws: JSONAccessError.self) { try object.string("services") }
        #expect(type.description == "services: expected a string, found an array")
        let missing = try #require(throws: JSONAccessError.self) { try object.string("name") }
        #expect(missing.description == "name: is missing")
        let unknown = try #require(throws: JSONAccessError.self) { try object.requireOnly(["a", "b"]) }
        #expect(unknown.description == "services: is not known here; known members: a, b")
        let map = try #require(throws: JSONAccessError.self) { try (["m": ["k": 1]] as JSONObject).stringMap("m") }
        #expect(map.path == "m.k")
    }
}
