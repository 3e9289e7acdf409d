/**
 * Finds out that a data folder runs twice, as when the image of a machine is started beside the original: both processes
 * introduce themselves as the same node with the same folder, and each takes the other's place. A process that ended never
 * comes back, but what it had under way may arrive late, a handful of calls at most; two that live go on for ever.
 */
import type { NodeId } from '../../platform/index.ts';

/** Times that a process comes back after another one had taken its place. A process that died cannot have left so many calls. */
const MOST_RETURNS = 12;
/** Processes of a node that are remembered. */
const MOST_PAST = 8;

interface Turns {
  life: string;
  past: string[];
  returns: number;
}

/** See the top of the file. */
export class ProcessTurns {
  private readonly turns = new Map<NodeId, Turns>();

  /**
   * A process of a node has introduced itself.
   * @param life drawn at its start
   * @returns true when it and another one take turns
   */
  isTwice(node: NodeId, life: string): boolean {
    const turns = this.turns.get(node);
    if (turns === undefined) {
      this.turns.set(node, { life, past: [], returns: 0 });
      return false;
    }
    if (turns.life === life) return false;
    if (turns.past.includes(life)) turns.returns += 1;
    else turns.returns = 0;
    turns.past = [...turns.past.filter((past) => past !== life), turns.life].slice(-MOST_PAST);
    turns.life = life;
    if (turns.returns <= MOST_RETURNS) return false;
    turns.returns = 0;
    return true;
  }
}
