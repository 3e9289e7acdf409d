/**
 * PartiQL: statements of the service's dialect become the trees of `expressions`. Pure code; `statement` is what there is, `words` and `word-reader` what
 * statements consist of, `where` and `parse-statement` the grammar, `key-of-where` the key that a condition names.
 */

export { type KeyOfWhere, keyOfWhere, type SplitCondition, splitCondition } from './key-of-where.ts';
export { parseStatement } from './parse-statement.ts';
export type {
  DeleteStatement,
  ExistsStatement,
  InsertStatement,
  Returning,
  SelectStatement,
  Statement,
  UpdateStatement,
} from './statement.ts';
