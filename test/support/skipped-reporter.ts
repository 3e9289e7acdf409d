/**
 * The last lines of `npm test`: what was skipped, by reason. Node's own summary counts skipped tests, but neither skipped suites nor
 * their reasons.
 */
import type { TestEvent } from 'node:test/reporters';

/** Counts skipped tests and suites while the tests run, and reports them when all have ended. */
export default async function* skippedReporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts = new Map<string, number>();
  for await (const event of events) {
    if (event.type !== 'test:pass' || event.data.skip === undefined) continue;
    const reason = event.data.skip === true ? 'no reason given' : String(event.data.skip);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  if (counts.size === 0) yield '\nNothing was skipped.\n';
  for (const [reason, count] of counts)
    yield `\nSkipped ${count} ${count === 1 ? 'test' : 'tests'} or suites: ${reason}\n`;
}
