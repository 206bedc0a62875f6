// The other side of `against_reference.rs`: JSONata's reference implementation. Each line in is a
// task, each line out what came of it.
const jsonata = require('jsonata');
const lines = require('readline').createInterface({ input: process.stdin });

const inputs = [];

async function once(task) {
  const expression = jsonata(task.expression);
  return expression.evaluate(undefined, { states: inputs[task.input] });
}

async function run(task) {
  if (task.load !== undefined) {
    inputs.push(task.load);
    return { loaded: inputs.length };
  }
  let result;
  const start = process.hrtime.bigint();
  for (let i = 0; i < task.rounds; i++) {
    result = await once(task);
  }
  const nanos = Number(process.hrtime.bigint() - start) / task.rounds;
  return { nanos, result: task.tell ? result : undefined };
}

(async () => {
  for await (const line of lines) {
    console.log(JSON.stringify(await run(JSON.parse(line))));
  }
})();
