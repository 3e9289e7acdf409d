/**
 * Positions on the earth as scores of a sorted set. The map is halved 26 times in each direction; the bits that say which half make up a score
 * of 52 bits, longitude and latitude in turn, the longitude's first. A cell of fewer halvings is a range of scores.
 */
import { INT64_MIN } from '../../protocol/index.ts';

export interface Position {
  /** Degrees. */
  readonly longitude: number;
  /** Degrees. */
  readonly latitude: number;
}

/** A range of degrees in each direction. */
export interface Area {
  readonly west: number;
  readonly east: number;
  readonly south: number;
  readonly north: number;
}

/** One of the `2^steps` times `2^steps` parts of the map. */
export interface Cell {
  readonly steps: number;
  /** Counted from the west. */
  readonly column: number;
  /** Counted from the south. */
  readonly row: number;
}

/** What positions may be: the square part of a Mercator map. */
export const WORLD: Area = { west: -180, east: 180, south: -85.05112878, north: 85.05112878 };
/** What geohashes elsewhere are about. */
const GLOBE: Area = { west: -180, east: 180, south: -90, north: 90 };

export const MAX_STEPS = 26;
const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';
const HASH_CHARACTERS = 10;
const BITS_A_CHARACTER = 5;
const TWO_TO_32 = 2 ** 32;

/** The cell that a position within an area lies in. What lies at the upper ends gets the number behind the last. */
function cellIn(area: Area, { longitude, latitude }: Position, steps: number): Cell {
  const parts = 2 ** steps;
  return {
    steps,
    column: Math.floor(((longitude - area.west) / (area.east - area.west)) * parts),
    row: Math.floor(((latitude - area.south) / (area.north - area.south)) * parts),
  };
}

/** @param position within the world */
export const cellAt = (position: Position, steps: number): Cell => cellIn(WORLD, position, steps);

/**
 * The cell beside another one, around the world where it ends. In a direction without a step the number stays, also the one behind the last that
 * a position at the end of the world has.
 */
export function cellBeside({ steps, column, row }: Cell, east: number, north: number): Cell {
  const last = 2 ** steps - 1;
  return {
    steps,
    column: east === 0 ? column : (column + east) & last,
    row: north === 0 ? row : (row + north) & last,
  };
}

/** Where a cell is. Its numbers have 32 bits: behind the highest comes 0. */
export function areaOf({ steps, column, row }: Cell): Area {
  const parts = 2 ** steps;
  const [width, height] = [WORLD.east - WORLD.west, WORLD.north - WORLD.south];
  return {
    west: WORLD.west + (column / parts) * width,
    east: WORLD.west + (((column + 1) >>> 0) / parts) * width,
    south: WORLD.south + (row / parts) * height,
    north: WORLD.south + (((row + 1) >>> 0) / parts) * height,
  };
}

/** Moves the 16 lowest bits apart, a zero in front of each. */
function spread(bits: number): number {
  let apart = bits & 0xffff;
  apart = (apart | (apart << 8)) & 0x00ff00ff;
  apart = (apart | (apart << 4)) & 0x0f0f0f0f;
  apart = (apart | (apart << 2)) & 0x33333333;
  return (apart | (apart << 1)) & 0x55555555;
}

/** Takes every second bit, from the lowest on. */
function gather(bits: number): number {
  let together = bits & 0x55555555;
  together = (together | (together >>> 1)) & 0x33333333;
  together = (together | (together >>> 2)) & 0x0f0f0f0f;
  together = (together | (together >>> 4)) & 0x00ff00ff;
  return (together | (together >>> 8)) & 0xffff;
}

const interleaved = (column: number, row: number): number => ((spread(column) << 1) | spread(row)) >>> 0;

/** Bits of a cell, the nearest number to them where they are more than 53. */
const bitsOf = ({ column, row }: Cell): number =>
  interleaved(column >>> 16, row >>> 16) * TWO_TO_32 + interleaved(column, row);

/** The score of a position within the world. */
export const scoreAt = (position: Position): number => bitsOf(cellAt(position, MAX_STEPS));

/** Scores from `from` on and below `to` belong to a cell. */
export function scoresOf(cell: Cell): { readonly from: number; readonly to: number } {
  const scale = 4 ** (MAX_STEPS - cell.steps);
  const bits = bitsOf(cell);
  return { from: bits * scale, to: (bits + 1) * scale };
}

/** The middle of a score's cell. Any score has one: it is taken as the 64-bit integer that C makes of it. */
export function positionAt(score: number): Position {
  const { upper, lower } = halvesOf(score);
  const row = ((gather(upper) << 16) | gather(lower)) >>> 0;
  const column = ((gather(upper >>> 1) << 16) | gather(lower >>> 1)) >>> 0;
  const { west, east, south, north } = areaOf({ steps: MAX_STEPS, column, row });
  return {
    longitude: Math.min(WORLD.east, Math.max(WORLD.west, (west + east) / 2)),
    latitude: Math.min(WORLD.north, Math.max(WORLD.south, (south + north) / 2)),
  };
}

const TWO_TO_63 = 2 ** 63;

/** A score as the signed integer of 64 bits that C makes of it. */
export function integerOf(score: number): bigint {
  const whole = Math.trunc(score);
  return whole >= -TWO_TO_63 && whole < TWO_TO_63 ? BigInt(whole) : INT64_MIN;
}

/** The two halves of a score as an unsigned integer of 64 bits. */
function halvesOf(score: number): { readonly upper: number; readonly lower: number } {
  const whole = Math.trunc(score);
  if (whole >= 2 * TWO_TO_63) return { upper: 0, lower: 0 };
  if (whole < -TWO_TO_63) return { upper: 0x80000000, lower: 0 };
  const upper = Math.floor(whole / TWO_TO_32);
  return { upper: upper >>> 0, lower: (whole - upper * TWO_TO_32) >>> 0 };
}

/** The geohash of a position as the rest of the world writes it; its last character stands for bits that a score does not have. */
export function hashOf(position: Position): string {
  const bits = bitsOf(cellIn(GLOBE, position, MAX_STEPS));
  let text = '';
  for (let nth = 1; nth <= HASH_CHARACTERS; nth++) {
    text += ALPHABET[Math.floor(bits / 2 ** (2 * MAX_STEPS - nth * BITS_A_CHARACTER)) % ALPHABET.length];
  }
  return `${text}0`;
}
