/**
 * Values that have too many rows for one entry: commands that write a whole value stop when it becomes too large (`whole-value-view`), and are run
 * again by the node that the client is connected to, which writes the rows aside and the heads last (`build-aside`, over `captured-rows`).
 */

export {
  type AsideEvaluation,
  type AsideEvaluator,
  type AsideOutcome,
  runOver,
} from './aside-evaluation.ts';
export { type AsideCommand, type AsideParts, buildAside } from './build-aside.ts';
export {
  CapturedRows,
  type CapturedWrite,
  type FreshRow,
  hasValue,
  type Missing,
  type ReadHead,
} from './captured-rows.ts';
export { BuildAsideError, isBuildAside } from './errors.ts';
export { MAX_ROWS_AT_ONCE, WholeValueView } from './whole-value-view.ts';
