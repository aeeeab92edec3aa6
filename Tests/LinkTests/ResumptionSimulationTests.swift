import Glibc
import Link
import Testing

/// One session over many links under virtual time, see `ResumptionSimulation`. `MESH_RESUMPTION_SEED` repeats one episode,
/// `MESH_SIMULATION_STEPS` sets how long to go on.
@Suite struct ResumptionSimulationTests {
    private static let stepsPerEpisode = 3_000

    @Test func sessionsOutliveTheirLinks() {
        var coverage = ResumptionCoverage()
        var streams = SimulationCoverage()
        if let seed = getenv("MESH_RESUMPTION_SEED").flatMap({ UInt64(String(cString: $0)) }) {
            episode(seed: seed, &coverage, &streams)
            return
        }
        let steps = getenv("MESH_SIMULATION_STEPS").flatMap { Int(String(cString: $0)) } ?? SimulationTests.defaultSteps
        var done = 0
        var seed: UInt64 = 1
        while done < steps * 2, episode(seed: seed, &coverage, &streams) {
            done += ResumptionSimulationTests.stepsPerEpisode
            seed += 1
        }
        for field in ResumptionCoverage.fields {
            #expect(coverage[keyPath: field] > 0, "the simulation never met \(field)")
        }
        #expect(streams.bytes > 0 && streams.resets > 0 && streams.refused > 0)
    }

    /// Whether the promises were kept.
    @discardableResult
    private func episode(
        seed: UInt64, _ coverage: inout ResumptionCoverage, _ streams: inout SimulationCoverage
    ) -> Bool {
        let simulation = ResumptionSimulation(seed: seed)
        defer {
            coverage += simulation.sumOfCoverage.0
            streams += simulation.sumOfCoverage.1
        }
        do {
            try simulation.run(steps: ResumptionSimulationTests.stepsPerEpisode)
            return true
        } catch {
            Issue.record("\(error) (step \(simulation.steps); repeat with MESH_RESUMPTION_SEED=\(seed))")
            return false
        }
    }
}
