/** ExecuteStatement, BatchExecuteStatement, ExecuteTransaction: what statements ask is done by what requests ask. */
import { DynamoError, type DynamoErrorType, validationError } from '../errors/index.ts';
import { meets, ProjectedItems } from '../expressions/index.ts';
import {
  answerPage,
  type ChangePart,
  canceled,
  type ItemStore,
  type ReturnConsumedCapacity,
  requestToken,
  TableCosts,
  transactCosts,
  transactGet,
  transactWrite,
  writeChange,
} from '../items/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import type { DeleteStatement, SelectStatement, UpdateStatement } from '../partiql/index.ts';
import { type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { itemSize, readUnits, type WireItem, wireItem } from '../values/index.ts';
import {
  changeOf,
  duplicateItem,
  isRead,
  keyOfSelect,
  nextToken,
  type PageOptions,
  type PlannedStatement,
  pageOf,
  planStatement,
  type WireStatement,
} from './planned-statement.ts';

/** Statements of a batch that are under way at a time. */
const AT_A_TIME = 8;

interface StatementInput extends WireStatement, PageOptions {}

interface BatchInput {
  readonly Statements: readonly WireStatement[];
  readonly ReturnConsumedCapacity?: ReturnConsumedCapacity;
}

interface TransactionInput {
  readonly TransactStatements: readonly WireStatement[];
  readonly ClientRequestToken?: string;
  readonly ReturnConsumedCapacity?: ReturnConsumedCapacity;
}

interface StatementAnswer {
  readonly Items: readonly WireItem[];
  readonly NextToken?: string | undefined;
  readonly LastEvaluatedKey?: WireItem | undefined;
  readonly ConsumedCapacity?: object | undefined;
}

/** What one statement of a batch is answered, and what it costs when that is asked. */
interface BatchMember {
  readonly response: object;
  readonly cost?: object | undefined;
}

/** Names of errors within the answer of a batch. */
const BATCH_CODES: Readonly<Partial<Record<DynamoErrorType, string>>> = {
  ConditionalCheckFailedException: 'ConditionalCheckFailed',
  DuplicateItemException: 'DuplicateItem',
  ItemCollectionSizeLimitExceededException: 'ItemCollectionSizeLimitExceeded',
  ProvisionedThroughputExceededException: 'ProvisionedThroughputExceeded',
  RequestLimitExceeded: 'RequestLimitExceeded',
  ResourceNotFoundException: 'ResourceNotFound',
  ThrottlingException: 'ThrottlingError',
  TransactionConflictException: 'TransactionConflict',
  ValidationException: 'ValidationError',
};

const tableOf = ({ statement }: PlannedStatement): string => tableNameOf(statement.table);

/** What a statement that changes an item answers with. */
function returnedPart({ statement }: PlannedStatement): ChangePart | undefined {
  const { returning } = statement as UpdateStatement | DeleteStatement;
  if (returning === undefined) return undefined;
  const isOld = returning.when === 'OLD';
  if (returning.which === 'ALL') return isOld ? 'before' : 'after';
  return isOld ? 'changedBefore' : 'changedAfter';
}

class Statements {
  private readonly store: ItemStore;

  constructor(store: ItemStore) {
    this.store = store;
  }

  execute(context: RequestContext, planned: PlannedStatement, options: PageOptions): Promise<StatementAnswer> {
    return this.store.withTable(tableOf(planned), context.deadlineMs, (table) =>
      isRead(planned) ? this.select(context, planned, table, options) : this.change(context, planned, table, options),
    );
  }

  private async select(
    context: RequestContext,
    planned: PlannedStatement,
    table: TableDescriptor,
    options: PageOptions,
  ): Promise<StatementAnswer> {
    const page = await answerPage(this.store, context, table, pageOf(planned, table, options));
    const { Items = [], LastEvaluatedKey: last, ConsumedCapacity } = page;
    const token = last === undefined ? undefined : nextToken(planned, last);
    return { Items, NextToken: token, LastEvaluatedKey: last, ConsumedCapacity };
  }

  private async change(
    context: RequestContext,
    planned: PlannedStatement,
    table: TableDescriptor,
    { ReturnConsumedCapacity }: PageOptions,
  ): Promise<StatementAnswer> {
    try {
      const part = returnedPart(planned);
      const { shown, costs } = await writeChange(this.store, context, table, changeOf(planned, table), part);
      const cost = new TableCosts(table.name);
      cost.addWrite(costs);
      return {
        Items: shown === undefined || shown.size === 0 ? [] : [wireItem(shown)],
        ConsumedCapacity: cost.shown(ReturnConsumedCapacity),
      };
    } catch (error) {
      const isDuplicate = planned.statement.kind === 'insert' && isConditionFailed(error);
      throw isDuplicate ? duplicateItem() : error;
    }
  }

  /** Each statement by itself; what is wrong with one is in its answer. */
  async batch(
    context: RequestContext,
    statements: readonly (PlannedStatement | DynamoError)[],
    asked: ReturnConsumedCapacity | undefined,
  ): Promise<object> {
    const answers = new Array<BatchMember>(statements.length);
    const left = [...statements.keys()];
    const next = async (): Promise<void> => {
      for (let at = left.shift(); at !== undefined; at = left.shift())
        answers[at] = await this.memberOfBatch(context, statements[at]!, asked);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, next));
    const costs = answers.flatMap(({ cost }) => cost ?? []);
    return {
      Responses: answers.map(({ response }) => response),
      ConsumedCapacity: costs.length === 0 ? undefined : costs,
    };
  }

  private async memberOfBatch(
    context: RequestContext,
    planned: PlannedStatement | DynamoError,
    asked: ReturnConsumedCapacity | undefined,
  ): Promise<BatchMember> {
    if (planned instanceof DynamoError) return { response: { Error: shownError(planned) } };
    const TableName = tableOf(planned);
    try {
      const { Items, ConsumedCapacity: cost } = await this.store.withTable(
        TableName,
        context.deadlineMs,
        async (table) => {
          if (isRead(planned)) keyOfSelect(planned, table, 'BatchExecuteStatement');
          const { ConsistentRead } = planned.wire;
          return this.execute(context, planned, { ConsistentRead, ReturnConsumedCapacity: asked });
        },
      );
      return { response: { TableName, Item: Items[0] }, cost };
    } catch (error) {
      if (!(error instanceof DynamoError)) throw error;
      return { response: { TableName, Error: shownError(error) } };
    }
  }

  async transaction(
    context: RequestContext,
    statements: readonly PlannedStatement[],
    input: TransactionInput,
  ): Promise<object> {
    const tables = await this.tablesOf(context, statements);
    return statements.every(isRead)
      ? this.readTogether(context, statements, tables, input.ReturnConsumedCapacity)
      : this.writeTogether(context, statements, tables, input);
  }

  private tablesOf(
    { deadlineMs }: RequestContext,
    statements: readonly PlannedStatement[],
  ): Promise<ReadonlyMap<string, TableDescriptor>> {
    return this.store.withTables(new Set(statements.map(tableOf)), deadlineMs, async (tables) => tables);
  }

  private async readTogether(
    context: RequestContext,
    statements: readonly PlannedStatement[],
    tables: ReadonlyMap<string, TableDescriptor>,
    asked: ReturnConsumedCapacity | undefined,
  ): Promise<object> {
    const keys = statements.map((planned) => {
      const name = tableOf(planned);
      return { name, ...keyOfSelect(planned, tables.get(name)!, 'ExecuteTransaction') };
    });
    const read = await transactGet(this.store, context, keys);
    const costs = new Map<string, TableCosts>();
    const responses = read.map(({ table, item }, at) => {
      const cost = costs.get(table.name) ?? new TableCosts(table.name);
      costs.set(table.name, cost);
      cost.addTable(readUnits(item === undefined ? 0 : itemSize(item), 'transactional'));
      const { rest } = keys[at]!;
      if (item === undefined || (rest !== undefined && !meets(rest, item))) return {};
      const { projection } = statements[at]!.statement as SelectStatement;
      return { Item: wireItem(projection === undefined ? item : new ProjectedItems(projection).of(item)) };
    });
    const shown = [...costs.values()].flatMap((cost) => cost.shown(asked, 'read') ?? []);
    return { Responses: responses, ConsumedCapacity: shown.length === 0 ? undefined : shown };
  }

  private async writeTogether(
    context: RequestContext,
    statements: readonly PlannedStatement[],
    tables: ReadonlyMap<string, TableDescriptor>,
    { ClientRequestToken: token, TransactStatements: asked, ReturnConsumedCapacity }: TransactionInput,
  ): Promise<object> {
    const changes = statements.map((planned) => {
      const name = tableOf(planned);
      return { name, change: changeOf(planned, tables.get(name)!) };
    });
    const plan = { changes, token: token === undefined ? undefined : requestToken(token, asked) };
    try {
      const { bound, outcome } = await transactWrite(this.store, context, plan);
      return {
        Responses: statements.map(() => ({})),
        ConsumedCapacity: transactCosts(bound, outcome, ReturnConsumedCapacity),
      };
    } catch (error) {
      throw withDuplicates(error, statements);
    }
  }
}

const isConditionFailed = (error: unknown): boolean =>
  error instanceof DynamoError && error.type === 'ConditionalCheckFailedException';

/** The condition of an INSERT is that nothing is there. */
function withDuplicates(error: unknown, statements: readonly PlannedStatement[]): unknown {
  if (!(error instanceof DynamoError) || error.type !== 'TransactionCanceledException') return error;
  const reasons = error.members.CancellationReasons as Parameters<typeof canceled>[0];
  return canceled(
    reasons.map((reason, at) =>
      reason.Code === 'ConditionalCheckFailed' && statements[at]!.statement.kind === 'insert'
        ? { Code: 'DuplicateItem', Message: duplicateItem().message }
        : reason,
    ),
  );
}

function shownError(error: DynamoError): object {
  const code = BATCH_CODES[error.type] ?? 'InternalServerError';
  return { Code: code, Message: error.message, Item: error.members.Item };
}

/** What is wrong with the text of one statement of a batch is told with the others' answers. */
function planned(wire: WireStatement): PlannedStatement | DynamoError {
  try {
    const statement = planStatement(wire);
    if (statement.statement.kind === 'exists') throw onlyInTransactions();
    return statement;
  } catch (error) {
    if (error instanceof DynamoError) return error;
    throw error;
  }
}

const onlyInTransactions = (): DynamoError => validationError('EXISTS is only supported in ExecuteTransaction');

const accessOf = (statements: readonly (PlannedStatement | DynamoError)[]): 'read' | 'write' =>
  statements.every((one) => one instanceof DynamoError || isRead(one)) ? 'read' : 'write';

function checkOneKind(statements: readonly (PlannedStatement | DynamoError)[], what: string): void {
  const reads = statements.filter((one) => !(one instanceof DynamoError) && isRead(one)).length;
  const writes = statements.filter((one) => !(one instanceof DynamoError) && !isRead(one)).length;
  if (reads > 0 && writes > 0)
    throw validationError(`All statements of a ${what} must be read statements, or all must be write statements`);
}

/** All of them. */
export function statementOperations(store: ItemStore): AnyOperation[] {
  const statements = new Statements(store);
  return [
    declareOperation({
      name: 'ExecuteStatement',
      access: ({ planned: one }: { readonly planned: PlannedStatement }) => accessOf([one]),
      validate(input: StatementInput) {
        const one = planStatement(input);
        if (one.statement.kind === 'exists') throw onlyInTransactions();
        return { planned: one, input };
      },
      run: (context, { planned: one, input }: { readonly planned: PlannedStatement; readonly input: StatementInput }) =>
        statements.execute(context, one, input),
    }),
    declareOperation({
      name: 'BatchExecuteStatement',
      access: ({ all }: { readonly all: readonly (PlannedStatement | DynamoError)[] }) => accessOf(all),
      validate(input: BatchInput) {
        const all = input.Statements.map(planned);
        checkOneKind(all, 'batch');
        return { all, asked: input.ReturnConsumedCapacity };
      },
      run: (context, { all, asked }) => statements.batch(context, all, asked),
    }),
    declareOperation({
      name: 'ExecuteTransaction',
      access: ({ all }: { readonly all: readonly PlannedStatement[] }) => accessOf(all),
      validate(input: TransactionInput) {
        const all = input.TransactStatements.map(planStatement);
        checkOneKind(all, 'transaction');
        return { all, input };
      },
      run: (context, { all, input }: { readonly all: readonly PlannedStatement[]; readonly input: TransactionInput }) =>
        statements.transaction(context, all, input),
    }),
  ];
}
