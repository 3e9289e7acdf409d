/** How calls with very many arguments are run in pieces, see `PieceRule`. */
import type { PieceRule } from '../command/index.ts';

/** Ids in a piece: each may be some rows that have to be read from the disk, and that are written. */
export const PIECE_IDS = 256;
/** Elements that are taken at once, and in a piece when there are more: they cost less, and to most callers they belong together. */
export const MOST_ELEMENTS = 4_096;
export const PIECE_ELEMENTS = 2_048;

/** Where the things of a call are. */
export interface Things {
  /** Position of the first. */
  readonly from: number;
  readonly count: number;
}

/** What is known of the things that a command names. */
export interface PieceShape {
  /** Arguments in front of the first thing, at least. */
  readonly from: number;
  /** Arguments of a thing. */
  readonly stride?: number;
  /** Things that are taken at once. */
  readonly most: number;
  /** Things of a piece when there are more. */
  readonly size: number;
  readonly reply: PieceRule['reply'];
  /** Undefined where the call is wrong: it is refused as a whole. Left out: all arguments behind those in front are things. */
  readonly find?: (args: readonly Buffer[]) => Things | undefined;
}

/** A rule for calls whose things stand beside each other. */
export function pieceRule({ from, stride = 1, most, size, reply, find }: PieceShape): PieceRule {
  const all = (args: readonly Buffer[]): Things => ({ from, count: (args.length - from) / stride });
  return {
    reply,
    mostArguments: from + most * stride,
    split: (args) => {
      const found = (find ?? all)(args);
      if (found === undefined || !Number.isInteger(found.count) || found.count <= most) return undefined;
      const end = found.from + found.count * stride;
      const [before, behind] = [args.slice(0, found.from), args.slice(end)];
      return Array.from({ length: Math.ceil(found.count / size) }, (_, at) => {
        const first = found.from + at * size * stride;
        return [...before, ...args.slice(first, Math.min(first + size * stride, end)), ...behind];
      });
    },
  };
}

/** A rule for ids of a stream. @param countOf how many there are; undefined when one of them is none */
export const idPieces = (
  from: number,
  reply: PieceRule['reply'],
  countOf: (args: readonly Buffer[]) => number | undefined,
): PieceRule =>
  pieceRule({
    from,
    most: PIECE_IDS,
    size: PIECE_IDS,
    reply,
    find: (args) => {
      const count = countOf(args);
      return count === undefined ? undefined : { from, count };
    },
  });

/** A rule for elements of a value, behind its key. */
export const elementPieces = (
  reply: PieceRule['reply'],
  shape: Partial<Pick<PieceShape, 'stride' | 'find'>> = {},
): PieceRule => pieceRule({ from: 2, most: MOST_ELEMENTS, size: PIECE_ELEMENTS, reply, ...shape });

const differs = (what: string, most: number, size: number): string =>
  `More than ${most.toLocaleString('en')} ${what} take effect in pieces of ${size.toLocaleString('en')}, one after the other; in a ` +
  'transaction or a script all of them at once.';

/** What commands with ids differ in from Redis. */
export const ID_PIECES_DIFFER: string = differs('ids', PIECE_IDS, PIECE_IDS);

/** What commands with elements differ in from Redis. @param what they are called, in plural */
export const elementPiecesDiffer = (what: string): string => differs(what, MOST_ELEMENTS, PIECE_ELEMENTS);
