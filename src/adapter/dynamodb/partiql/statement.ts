/** Statements, as the trees that expressions become too: whoever runs one runs what a request would. */
import type { Condition, Projection, Update } from '../expressions/index.ts';
import type { Item } from '../values/index.ts';

export interface SelectStatement {
  readonly kind: 'select';
  readonly table: string;
  readonly index: string | undefined;
  /** Undefined for all that there is. */
  readonly projection: Projection | undefined;
  readonly where: Condition | undefined;
  readonly order: { readonly name: string; readonly isDescending: boolean } | undefined;
}

export interface InsertStatement {
  readonly kind: 'insert';
  readonly table: string;
  readonly item: Item;
}

/** Which attributes a statement answers with: all of them, or those that it has changed. */
export interface Returning {
  readonly which: 'ALL' | 'MODIFIED';
  readonly when: 'OLD' | 'NEW';
}

export interface UpdateStatement {
  readonly kind: 'update';
  readonly table: string;
  readonly update: Update;
  readonly where: Condition;
  readonly returning: Returning | undefined;
}

export interface DeleteStatement {
  readonly kind: 'delete';
  readonly table: string;
  readonly where: Condition;
  readonly returning: Returning | undefined;
}

/** A condition that a transaction depends on. */
export interface ExistsStatement {
  readonly kind: 'exists';
  readonly table: string;
  readonly where: Condition;
}

export type Statement = SelectStatement | InsertStatement | UpdateStatement | DeleteStatement | ExistsStatement;
