/** How calls with very many ids are run in pieces, see `PieceRule`. */
import type { PieceRule } from '../command/index.ts';

/** Ids in a piece: each may be some rows that have to be read from the disk, and that are written. */
export const PIECE_IDS = 256;

/**
 * A rule for ids of a stream.
 * @param from position of the first
 * @param countOf how many there are; undefined when one of them is none: the call is refused as a whole
 */
export const idPieces = (
  from: number,
  reply: PieceRule['reply'],
  countOf: (args: readonly Buffer[]) => number | undefined,
): PieceRule => ({
  reply,
  mostArguments: from + PIECE_IDS,
  split: (args) => {
    const count = countOf(args);
    if (count === undefined || count <= PIECE_IDS) return undefined;
    const end = from + count;
    const [before, behind] = [args.slice(0, from), args.slice(end)];
    return Array.from({ length: Math.ceil(count / PIECE_IDS) }, (_, at) => {
      const first = from + at * PIECE_IDS;
      return [...before, ...args.slice(first, Math.min(first + PIECE_IDS, end)), ...behind];
    });
  },
});

/** What commands with ids differ in from Redis. */
export const ID_PIECES_DIFFER =
  `More than ${PIECE_IDS} ids take effect in pieces of ${PIECE_IDS}, one after the other; in a ` +
  'transaction or a script all of them at once.';
