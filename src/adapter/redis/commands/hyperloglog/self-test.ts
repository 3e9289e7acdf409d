/** What PFSELFTEST runs: whether registers keep what they are given, and whether sparse and dense sketches estimate the same and well. */
import { cardinalityOf } from './cardinality.ts';
import { observe, REGISTER_COUNT } from './element-hash.ts';
import { DENSE_BYTES, denseByte, denseIn, emptySketch } from './sketch-format.ts';
import { runsOf, SparseSketch, toDense, writeDense } from './sparse-sketch.ts';

const ELEMENTS = 100_000;
/** Four times the standard error of an estimate by so many registers. */
const MAX_ERROR = 4 * (1.04 / Math.sqrt(REGISTER_COUNT));
const MAX_COUNT_OF_BITS = 63;

const denseAt = (dense: Buffer, register: number): number =>
  denseIn(register, dense[denseByte(register)]!, dense[denseByte(register) + 1] ?? 0);

/** Writes every register in turn, with neighbours that must stay as they are. */
function registerFault(): string | undefined {
  const dense = Buffer.alloc(DENSE_BYTES);
  const countOf = (register: number): number => (register * 37 + (register >> 6)) & MAX_COUNT_OF_BITS;
  for (let register = 0; register < REGISTER_COUNT; register += 2) writeDense(dense, register, countOf(register));
  for (let register = 1; register < REGISTER_COUNT; register += 2) writeDense(dense, register, countOf(register));
  for (let register = 0; register < REGISTER_COUNT; register++) {
    const [should, is] = [countOf(register), denseAt(dense, register)];
    if (should !== is) return `Register ${register} should be ${should} but is ${is}`;
  }
  return undefined;
}

function estimateOfDense(dense: Buffer): bigint {
  const histogram = new Uint32Array(MAX_COUNT_OF_BITS + 1);
  for (let register = 0; register < REGISTER_COUNT; register++) histogram[denseAt(dense, register)]!++;
  return cardinalityOf(histogram);
}

function estimateOfSparse(sketch: Buffer): bigint {
  const histogram = new Uint32Array(MAX_COUNT_OF_BITS + 1);
  for (const { length, count } of runsOf(sketch)) histogram[count]! += length;
  return cardinalityOf(histogram);
}

/** What is wrong with sketches on this machine; undefined when nothing is. */
export function findFault(): string | undefined {
  const fault = registerFault();
  if (fault !== undefined) return fault;
  const sparse = new SparseSketch(emptySketch(), Number.MAX_SAFE_INTEGER);
  let isSparse = true;
  const dense = toDense(emptySketch())!;
  const element = Buffer.alloc(8);
  for (let nth = 1; nth <= ELEMENTS; nth++) {
    element.writeUInt32LE(nth, 0);
    const { register, count } = observe(element);
    if (denseAt(dense, register) < count) writeDense(dense, register, count);
    // Beyond some hundred elements a sparse sketch is slow, and nobody has one so large.
    if (isSparse) isSparse = sparse.raise(register, count) !== 'tooLarge' && nth < ELEMENTS / 100;
    if (isSparse && nth % 100 === 0 && estimateOfDense(dense) !== estimateOfSparse(sparse.bytes)) {
      return 'dense/sparse disagree';
    }
    if (nth % 10_000 !== 0) continue;
    const estimate = Number(estimateOfDense(dense));
    if (Math.abs(estimate - nth) > nth * MAX_ERROR) return `Too big error. card:${nth} estimate:${estimate}`;
  }
  return undefined;
}
