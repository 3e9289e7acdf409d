/** Statements of PartiQL as operations: `planned-statement` is what a statement is for its table, `statement-operations` does it. */

export { statementOperations } from './statement-operations.ts';
