// The view "Teach": datasets, training runs and versions.

import { say } from "./dom.js";
import { Datasets } from "./teach/datasets.js";
import { Runs } from "./teach/runs.js";
import { Versions } from "./teach/versions.js";
import { watch } from "./readiness.js";
import { watchSession } from "./signin.js";

const told = action => action().catch(error => error.name === "AbortError" || say(error.message, true));

const versions = new Versions(told);
const datasets = new Datasets(told);
new Runs(told, () => datasets.chosen, () => told(() => versions.list()));
watch();
watchSession();
