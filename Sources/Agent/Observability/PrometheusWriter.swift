/// Writes metrics in the Prometheus text exposition format, version 0.0.4.
struct PrometheusWriter {
    /// What kind of metric a family is.
    enum Kind: String {
        /// Only rises; its name ends in `_total`.
        case counter
        /// Goes up and down.
        case gauge
    }

    /// The text so far.
    private(set) var text = ""

    /// Writes one family: its help, its type and a line for each sample.
    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
        for sample in samples { line(name, sample) }
    }

    /// Writes a family with one sample and no labels.
    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
        family(name, kind, help, [Sample(value)])
    }

    /// Writes a histogram: cumulative buckets, sum and count.
    mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
        var cumulative: UInt64 = 0
        for (bound, count) in zip(Histogram.bounds, histogram.counts) {
            cumulative += count
            line(name + "_bucket", Sample(Double(cumulative), ["le": Self.number(bound)]))
        }
        line(name + "_bucket", Sample(Double(histogram.count), ["le": "+Inf"]))
        line(name + "_sum", Sample(histogram.sum))
        line(name + "_count", Sample(Double(histogram.count)))
    }

    private mutating func line(_ name: String, _ sample: Sample) {
        text += name
        if !sample.labels.isEmpty {
            text += "{"
            text += sample.labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            text += "}"
        }
        text += " \(Self.number(sample.value))\n"
    }

    private static func escaped(_ value: String) -> String {
        var out = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            case "\n": out += "\\n"
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    /// One value of a family.
    struct Sample {
        let labels: KeyValuePairs<String, String>
        let value: Double

        init(_ value: Double, _ labels: KeyValuePairs<String, String> = [:]) {
            self.labels = labels
            self.value = value
        }
    }
}

/// Counts durations by size, in seconds.
struct Histogram: Sendable {
    /// Upper bounds of the buckets: from a loopback handshake to a stalled peer.
    static let bounds: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    /// Observations in each bucket (not cumulative); larger ones are in `count` only.
    private(set) var counts = [UInt64](repeating: 0, count: Self.bounds.count)
    private(set) var count: UInt64 = 0
    private(set) var sum: Double = 0

    /// Counts one duration.
    mutating func observe(seconds: Double) {
        count += 1
        sum += seconds
        if let index = Self.bounds.firstIndex(where: { seconds <= $0 }) { counts[index] += 1 }
    }

    /// Adds what another worker counted.
    mutating func add(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        sum += other.sum
    }
}
