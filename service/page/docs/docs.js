"use strict";

// Swagger UI, which a pip package carries. It loads nothing from other hosts: `validatorUrl` would be the only one.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
