import Glibc

/// The command line: what is measured and how long.
enum Program {
    static let usage = """
        usage: microbench list
               microbench time [PREFIX]...     CPU time of one operation of each benchmark whose name begins so
               microbench repeat NAME COUNT    COUNT operations and nothing else, for callgrind
               microbench directory            registrations, watchers and memory, by size
               microbench registrations FOLDER [WRITERS [NODES [SERVICES [SECONDS]]]]
                                               durable registrations alone (64 writers, 64 nodes of 1 service, 4 s)
               microbench handshake [COUNT]    full mutual TLS 1.3 handshakes beside bare OpenSSL
        """

    static func run(_ arguments: [String]) {
        do {
            switch arguments.first {
            case "list":
                for benchmark in Benchmark.all {
                    Output.line("\(Output.left(benchmark.name, 28)) \(benchmark.batch) \(benchmark.what)")
                }
            case "time": try time(Array(arguments.dropFirst()))
            case "repeat" where arguments.count == 3: try repeatOne(arguments[1], Int(arguments[2]) ?? -1)
            case "directory": try directory()
            case "registrations" where arguments.count >= 2: try registrations(Array(arguments.dropFirst()))
            case "handshake":
                try HandshakeMeasurement.run(count: arguments.dropFirst().first.flatMap { Int($0) } ?? 500)
            default:
                Output.error(usage)
                exit(2)
            }
        } catch {
            Output.fail("\(error)")
        }
    }

    /// Five runs of at least 200 ms of each benchmark; the median and the range.
    private static func time(_ prefixes: [String]) throws {
        for benchmark in Benchmark.all where prefixes.isEmpty || prefixes.contains(where: benchmark.name.hasPrefix) {
            let perform = try benchmark.prepare()
            _ = try perform(benchmark.batch)
            var samples = Samples()
            for _ in 0..<5 {
                var count = 0
                let start = Clock.thread
                var end = start
                while end - start < 200_000_000 {
                    _ = try perform(benchmark.batch)
                    count += benchmark.batch
                    end = Clock.thread
                }
                samples.add(Double(end - start) / Double(count))
            }
            let rate = 1e9 / samples.median
            Output.line(
                Output.left(benchmark.name, 28) + Output.right(Output.number(samples.median, 1), 11) + " ns ["
                    + Output.number(samples.least, 1) + " - " + Output.number(samples.most, 1) + "]"
                    + Output.right(Output.number(rate, 0), 14) + "/s  " + benchmark.what)
        }
    }

    /// What the directory does as a whole, small and large.
    private static func directory() throws {
        // In memory a sync costs nothing: what the software can do. Here it costs what the disk takes.
        for place in ["/dev/shm", "."] {
            for nodes in [64, 1_000, 10_000] {
                try RegistrationMeasurement.run(
                    in: place, writers: 64, nodes: nodes, servicesPerNode: 1, seconds: 4)
            }
        }
        try RegistrationMeasurement.run(in: ".", writers: 1_000, nodes: 10_000, servicesPerNode: 1, seconds: 4)
        try RegistrationMeasurement.run(in: "/dev/shm", writers: 64, nodes: 10_000, servicesPerNode: 10, seconds: 4)
        for watchers in [100, 1_000, 5_000] { try WatchMeasurement.run(watchers: watchers, nodes: 100) }
        try WatchMeasurement.run(watchers: 1_000, nodes: 10_000)
        for services in [100, 10_000, 100_000] { MemoryMeasurement.run(services: services) }
    }

    /// One row of the registrations, for a profile or for a disk.
    private static func registrations(_ arguments: [String]) throws {
        let numbers = arguments.dropFirst().map { text in
            guard let number = Int(text), number > 0 else { Output.fail("not a positive number: \(text)") }
            return number
        }
        func number(_ place: Int, _ otherwise: Int) -> Int { place < numbers.count ? numbers[place] : otherwise }
        try RegistrationMeasurement.run(
            in: arguments[0], writers: number(0, 64), nodes: number(1, 64), servicesPerNode: number(2, 1),
            seconds: Double(number(3, 4)))
    }

    private static func repeatOne(_ name: String, _ count: Int) throws {
        guard let benchmark = Benchmark.all.first(where: { $0.name == name }) else {
            Output.fail("no benchmark \(name); `microbench list` has all")
        }
        guard count >= 0 else { Output.fail("a count is needed: microbench repeat \(name) 1000") }
        Output.line("\(try benchmark.prepare()(count))")
    }
}
