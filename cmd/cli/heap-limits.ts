/** How much garbage a node's process lets come together before it is collected. */
import { setFlagsFromString } from 'node:v8';

/**
 * Once what lives has this much garbage beside it, in percent, the old generation is marked. What lives in a node is small (some 40 MiB), and
 * marking it again and again costs more than the memory is worth; the limit of the whole heap stays as it is.
 */
const GROWTH_PERCENT = 200;

/**
 * Call before the node starts. V8 marks the whole heap as soon as 64 MiB have come together outside of it since the last time, whatever
 * the heap's size: with values of a few KiB, each a buffer of its own, that is ten times a second and a third of all
 * processor time. So memory outside counts as part of the heap here.
 */
export function relaxHeapLimits(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
