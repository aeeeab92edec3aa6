import JSON

/// JSON as the control API speaks it.
enum JSONBenchmarks {
    static var all: [Benchmark] {
        [
            Benchmark("json.parse.registration", "a registration of eight services read", batch: 1_000) { try parse() },
            Benchmark("json.write.registration", "a registration of eight services written", batch: 1_000) {
                try write()
            },
            Benchmark("json.parse.small", "a renewal read", batch: 20_000) { try parseSmall() },
        ]
    }

    /// A registration of eight services, some 1.4 KB.
    private static let registration: String = {
        let services = (0..<8).map {
            #"{"service":"service-\#($0)","protocol":"http","tags":["blue","zone-a"],"weight":100,"#
                + #""metadata":{"owner":"team-\#($0)","note":"a \"quoted\" text — ß"},"health":"passing"}"#
        }
        return #"{"node":"db-1.eu","bootId":"0123456789abcdef0123456789abcdef","addresses":["127.0.0.1:7400"],"#
            + #""metadata":{},"services":["# + services.joined(separator: ",") + "]}"
    }()

    private static func parse() throws -> (Int) throws -> Int {
        let text = Array(registration.utf8)
        return { count in
            var members = 0
            for _ in 0..<count {
                guard case .object(let object) = try JSONReader.parse(text) else { Output.fail("no object") }
                members += object.count
            }
            require(members == 5 * count, "\(members) members in \(count) texts")
            return members
        }
    }

    private static func parseSmall() throws -> (Int) throws -> Int {
        let text = Array(#"{"bootId":"0123456789abcdef0123456789abcdef","hash":"00c0ffee00c0ffee"}"#.utf8)
        return { count in
            var members = 0
            for _ in 0..<count {
                guard case .object(let object) = try JSONReader.parse(text) else { Output.fail("no object") }
                members += object.count
            }
            require(members == 2 * count, "\(members) members in \(count) texts")
            return members
        }
    }

    private static func write() throws -> (Int) -> Int {
        let value = try JSONReader.parse(registration)
        let length = registration.utf8.count
        return { count in
            var bytes = 0
            for _ in 0..<count { bytes += value.serialized().count }
            require(bytes == count * length, "\(bytes) bytes for \(count) texts of \(length)")
            return bytes
        }
    }
}
