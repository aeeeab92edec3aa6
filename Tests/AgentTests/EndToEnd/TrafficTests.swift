import Foundation
import Testing

extension EndToEnd {
    @Suite struct Traffic {
        /// Every byte in both directions at once; what arrives is compared with what was sent as it comes, which says
        /// more than a hash (the place of the first difference).
        @Test func bulkBothWays() throws {
            try withMesh { mesh in
                let full = ProcessInfo.processInfo.environment["MESH_E2E_FULL"] == "1"
                let count = full ? 1 << 30 : 256 << 20
                let served = ResultBox<Int>()
                let service = try mesh.service { wire in
                    let sender = Background { try sendStream(wire, seed: 2, count: count) }
                    served.set { try receiveStream(wire, seed: 1) }
                    try sender.value(within: 300)
                }
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                let sender = Background { try sendStream(wire, seed: 1, count: count) }
                try demandEqual(try receiveStream(wire, seed: 2), count, "bytes back")
                try sender.value(within: 300)
                try demandEqual(try served.value(within: 60 * Deadline.slowness), count, "bytes there")
            }
        }

        /// The same with the tools that people use: `sha256sum` of what `nc` fetched.
        @Test func checksumsWithRealTools() throws {
            try withMesh { mesh in
                let file = mesh.directory + "/payload"
                try runProgram(["dd", "if=/dev/urandom", "of=" + file, "bs=1M", "count=16", "status=none"])
                let service = try mesh.service { wire in
                    _ = try wire.receiveAll()
                    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: file)))
                    try wire.send(bytes)
                    wire.finishSending()
                }
                let pair = try Pair(mesh, target: service.address)
                let parts = pair.upstream.split(separator: ":")
                let fetched = try runProgram([
                    "bash", "-c", "echo give | nc -N \(parts[0]) \(parts[1]) | sha256sum; sha256sum <\(file)",
                ])
                let sums = fetched.output.split(separator: "\n")
                try demandEqual(sums.count, 2, fetched.output)
                try demandEqual(sums[0], sums[1], "checksums")
            }
        }

        @Test func halfCloseFromTheApplication() throws {
            try withMesh { mesh in
                let service = try mesh.service { wire in
                    let question = try wire.receiveAll()
                    try wire.send(question.reversed())
                    wire.finishSending()
                }
                let pair = try Pair(mesh, target: service.address)
                // In code.
                let wire = try Wire(pair.upstream)
                try wire.send("question")
                wire.finishSending()
                try demandEqual(String(decoding: try wire.receiveAll(), as: UTF8.self), "noitseuq")
                // With the real nc.
                let parts = pair.upstream.split(separator: ":")
                let answer = try runProgram(["bash", "-c", "printf hello | nc -N \(parts[0]) \(parts[1])"])
                try demandEqual(answer.output, "olleh")
                // Only the half that was closed: an empty question too.
                let empty = try Wire(pair.upstream)
                empty.finishSending()
                try demandEqual(try empty.receiveAll(), [])
            }
        }

        @Test func halfCloseFromTheService() throws {
            try withMesh { mesh in
                let heard = ResultBox<[UInt8]>()
                let service = try mesh.service { wire in
                    try wire.send("banner")
                    wire.finishSending()
                    heard.set { try wire.receiveAll() }
                }
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                try demandEqual(String(decoding: try wire.receiveAll(), as: UTF8.self), "banner")
                // The service has finished; our direction goes on.
                let sent = [UInt8](repeating: 7, count: 3_000_000)
                try wire.send(sent)
                wire.finishSending()
                try demandEqual(try heard.value().count, sent.count, "bytes after the service's end")
                try Deadline.until("no stream is left") { try pair.client.metric("mesh_local_connections") == 0 }
            }
        }

        @Test func resetReachesTheOtherApplication() throws {
            try withMesh { mesh in
                let outcomes = Queue<Received>()
                let service = try mesh.service { wire in
                    switch wire.receive() {
                    case .bytes(let bytes) where bytes == Array("abort".utf8): wire.abort()
                    case .bytes:
                        try wire.send("ok")
                        outcomes.put(wire.receive())
                    case let other: outcomes.put(other)
                    }
                }
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                try wire.send("hello")
                _ = try wire.receive(exactly: 2)
                wire.abort()
                try demandEqual(try outcomes.take(), .reset, "the service sees")
                // An ordinary close stays one.
                let orderly = try Wire(pair.upstream)
                try orderly.send("hello")
                _ = try orderly.receive(exactly: 2)
                orderly.close()
                try demandEqual(try outcomes.take(), .end, "the service sees")
                // The other way round.
                let other = try Wire(pair.upstream)
                try other.send("abort")
                try demandEqual(other.receive(), .reset, "the application sees")
            }
        }

        /// Waits until something was sent and nothing moves for a while; gives what went.
        private func standstill(of progress: Counter, _ what: String) throws -> Int {
            var last = -1
            var since = Deadline.now
            try Deadline.until(what) {
                let now = progress.value
                if now != last {
                    last = now
                    since = Deadline.now
                }
                return now > 0 && Deadline.now - since > 0.7
            }
            return last
        }

        /// A reader that stops: its sender stops too, memory stays bounded, others on the link are not delayed.
        @Test func stalledReaders() throws {
            try withMesh { mesh in
                let stalled = 8
                let total = 64 << 20
                let go = DispatchSemaphore(value: 0)
                let arrived = Queue<Int>()
                // The first byte says what the connection is for.
                let service = try mesh.service { wire in
                    let kind = try wire.receive(exactly: 1)
                    guard kind == [UInt8(ascii: "S")] else {
                        while case .bytes(let bytes) = wire.receive() { try wire.send(bytes) }
                        return
                    }
                    go.wait()
                    arrived.put(try receiveStream(wire, seed: 3))
                }
                let pair = try Pair(mesh, target: service.address)
                let ping = try Wire(pair.upstream)
                try ping.send("P")
                try ping.echo()
                // Warm up, so that what is measured is not the first use of everything.
                for _ in 0..<50 { try ping.echo([UInt8](repeating: 1, count: 32768)) }
                let (client, server) = (try pair.client.running(), try pair.server.running())
                let before = (client.residentBytes, server.residentBytes)
                var senders: [Background<Void>] = []
                let progress = Counter()
                for _ in 0..<stalled {
                    let wire = try Wire(pair.upstream)
                    wire.setTimeouts(300)
                    senders.append(
                        Background {
                            try wire.send("S")
                            try sendStream(wire, seed: 3, count: total, progress: progress)
                        })
                }
                let went = try standstill(of: progress, "the senders stop")
                try demand(went < stalled * total / 2, "senders were not stopped: \(went >> 20) MiB went")
                let growth = (client.residentBytes - before.0, server.residentBytes - before.1)
                try demandGrowth(growth.0, below: stalled * (16 << 20), "the client's agent")
                try demandGrowth(growth.1, below: stalled * (16 << 20), "the server's agent")
                // Others go on, without waiting for anybody's timer.
                var times: [Double] = []
                for _ in 0..<200 {
                    let start = Deadline.now
                    try ping.echo()
                    times.append(Deadline.now - start)
                }
                times.sort()
                // The quickest tenth: a timer would hold up all of them, a busy machine some.
                try demand(times[20] < 0.05 * Deadline.slowness, "a tenth of the round trips take \(times[20]) s")
                // And new ones open.
                let other = try Wire(pair.upstream)
                try other.send("P")
                try other.echo()
                // The readers go on and get everything.
                for _ in 0..<stalled { go.signal() }
                for sender in senders { try sender.value() }
                for _ in 0..<stalled {
                    try demandEqual(try arrived.take(within: 120 * Deadline.slowness), total, "bytes")
                }
            }
        }

        /// The other direction: an application that does not read its answer.
        @Test func stalledApplication() throws {
            try withMesh { mesh in
                let total = 32 << 20
                let progress = Counter()
                let service = try mesh.service { wire in
                    wire.setTimeouts(300)
                    try sendStream(wire, seed: 4, count: total, progress: progress)
                }
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream, receiveBuffer: 64 << 10)
                let went = try standstill(of: progress, "the service stops")
                try demand(went < total / 2, "the service was not stopped: \(went >> 20) MiB went")
                try demandEqual(try receiveStream(wire, seed: 4), total, "bytes")
            }
        }

        @Test func thousandsOfIdleStreams() throws {
            try withMesh { mesh in
                let count = 5000
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let (client, server) = (try pair.client.running(), try pair.server.running())
                // The links and the agents' own streams stand.
                try Wire(pair.upstream).echo()
                try Deadline.until("the first stream is gone") { service.connections == 0 }
                try Deadline.until("it is gone here too") { try pair.client.metric("mesh_local_connections") == 0 }
                let own = (try pair.client.metric("mesh_streams"), try pair.server.metric("mesh_streams"))
                let budget = (
                    try pair.client.metric("mesh_receive_budget_bytes"),
                    try pair.server.metric("mesh_receive_budget_bytes")
                )
                let descriptors = (client.descriptorCount, server.descriptorCount)
                let before = (client.residentBytes, server.residentBytes)

                var wires: [Wire] = []
                for index in 0..<count {
                    wires.append(try Wire(pair.upstream))
                    // Not more at once than listeners' queues take.
                    if index % 500 == 499 {
                        try Deadline.until("\(index + 1) streams are open") { service.connections == index + 1 }
                    }
                }
                try demandEqual(service.connections, count, "streams")
                try demandEqual(try pair.client.metric("mesh_local_connections"), Double(count), "connections")
                let growth = (client.residentBytes - before.0, server.residentBytes - before.1)
                try demandGrowth(growth.0, below: count * (8 << 10), "the client's agent")
                try demandGrowth(growth.1, below: count * (8 << 10), "the server's agent")
                for index in stride(from: 0, to: count, by: 250) { try wires[index].echo("still there \(index)") }
                // Half end in order, a quarter is reset, a quarter half-closes first.
                for (index, wire) in wires.enumerated() {
                    switch index % 4 {
                    case 0, 1: wire.close()
                    case 2: wire.abort()
                    default: wire.finishSending()
                    }
                }
                for index in stride(from: 3, to: count, by: 4) { try demandEqual(wires[index].receive(), .end) }
                wires = []
                try Deadline.until("all streams are gone, \(service.connections) are there") {
                    service.connections == 0
                }
                for (node, own, budget) in [(pair.client, own.0, budget.0), (pair.server, own.1, budget.1)] {
                    try Deadline.until("\(node.name)'s streams: \(own ?? -1)", every: 0.05) {
                        try node.metric("mesh_streams") == own
                    }
                    try Deadline.until("\(node.name)'s budget: \(budget ?? -1)", every: 0.05) {
                        try node.metric("mesh_receive_budget_bytes") == budget
                    }
                    try demandEqual(try node.metric("mesh_local_connections"), 0, "connections of \(node.name)")
                }
                try Deadline.until("descriptors are back at \(descriptors)", every: 0.05) {
                    client.descriptorCount <= descriptors.0 + 1 && server.descriptorCount <= descriptors.1 + 1
                }
            }
        }
    }
}
