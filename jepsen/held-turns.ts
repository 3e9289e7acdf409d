/** What the watch over the event loops of the nodes has logged in a run: turns that took long, by what took the most of them. */
import { existsSync, readFileSync } from 'node:fs';
import type { NodeNumber } from './types.ts';

/** What nodes say of such a turn. */
const TOLD = /^one turn took (\d+) ms of processor time: (.+)$/;

interface LoggedTurns {
  turns: number;
  longestMs: number;
}

/** The turns of one node's log, by name. */
export function heldTurnsIn(log: string): ReadonlyMap<string, Readonly<LoggedTurns>> {
  const found = new Map<string, LoggedTurns>();
  for (const line of log.split('\n')) {
    // A node that was killed may have left half a line.
    if (!line.includes('one turn took') || !line.endsWith('}')) continue;
    const { msg, others = 0 } = JSON.parse(line) as { readonly msg: string; readonly others?: number };
    const [, ms, name] = TOLD.exec(msg)!;
    const turns = found.get(name!) ?? { turns: 0, longestMs: 0 };
    turns.turns += 1 + others;
    turns.longestMs = Math.max(turns.longestMs, Number(ms));
    found.set(name!, turns);
  }
  return found;
}

/** A line for each name and node, the longest turn first. @param logPath where a node's output goes */
export function heldTurns(nodes: readonly NodeNumber[], logPath: (node: NodeNumber) => string): string[] {
  const all = nodes
    .filter((node) => existsSync(logPath(node)))
    .flatMap((node) => [...heldTurnsIn(readFileSync(logPath(node), 'utf8'))].map((entry) => ({ node, entry })));
  all.sort(({ entry: [, left] }, { entry: [, right] }) => right.longestMs - left.longestMs);
  return all.map(
    ({ node, entry: [name, { turns, longestMs }] }) =>
      `node ${node}: ${turns} turns of more than 50 ms of processor time, the longest ${longestMs} ms: ${name}`,
  );
}
