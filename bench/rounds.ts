/** Rounds of a benchmark, as many as fit into its time. */

/**
 * Runs rounds one after the other; begins none that would not end in time if it took as long as the longest until then.
 * @param work is told the number of the round, from 0
 * @returns how many there were
 */
export async function runRounds(
  rounds: number,
  minutes: number,
  work: (round: number) => Promise<void>,
): Promise<number> {
  const startMs = performance.now();
  let longestMs = 0;
  for (let round = 0; round < rounds; round++) {
    const roundMs = performance.now();
    if (roundMs - startMs + longestMs > minutes * 60_000) {
      console.error(`no round ${round + 1}: it would not end within ${minutes} minutes`);
      return round;
    }
    console.error(`round ${round + 1} of ${rounds}`);
    await work(round);
    longestMs = Math.max(longestMs, performance.now() - roundMs);
  }
  return rounds;
}
